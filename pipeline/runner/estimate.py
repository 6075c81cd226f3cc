"""What a build will take: pictures, image-steps, time, bytes and cost; for ``spotdiff plan``.

How many attempts a slot takes follows from the share of attempts that the judges accept: told, read off an earlier
manifest (:mod:`pipeline.manifest.rates`), or assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config import BuildConfig, Profile
from pipeline.runner.preflight import PNG_BYTES_PER_PIXEL
from pipeline.runner.speeds import Speeds, StageSpeed


@dataclass(frozen=True)
class Rates:
    """Shares that are accepted.

    Attributes:
        sources: Of the pictures: readable, with one clear pose.
        subjects, variations: Of the single attempts; a slot has as many as the profile's ``max_attempts``.
        origin: Where they are from.
    """

    sources: float = 0.9
    subjects: float = 0.6
    variations: float = 0.75
    origin: str = "assumed"


@dataclass(frozen=True)
class Estimate:
    """What a build will take.

    Attributes:
        subjects, variations: Pictures that will be accepted.
        generated: Pictures that will be generated, misses included.
        image_steps: Denoising steps times pictures.
        denoising_s, judging_s: Of one device; judging is counted on top, though it runs beside denoising.
        cpu_s: Of one core, beside the devices.
        bytes: Of manifest and work folder together.
    """

    sources: int
    subjects: float
    variations: float
    generated: float
    image_steps: float
    denoising_s: float
    judging_s: float
    cpu_s: float
    bytes: float

    @property
    def device_s(self) -> float:
        """Seconds of one device."""
        return self.denoising_s + self.judging_s


def estimate(profile: Profile, config: BuildConfig, sources: int, speeds: Speeds, rates: Rates) -> Estimate:
    """Works it out.

    Args:
        profile: Steps, attempts, size.
        config: Subjects a source and backgrounds a subject.
        sources: Pictures in the listing.
        speeds: Of the device.
        rates: Of acceptance.
    """
    slots = sources * rates.sources * config.subjects
    tried = slots * attempts(rates.subjects, profile.subjects.max_attempts)
    subjects = slots * filled(rates.subjects, profile.subjects.max_attempts)
    more_slots = subjects * config.backgrounds
    painted = more_slots * attempts(rates.variations, profile.backgrounds.max_attempts)
    variations = more_slots * filled(rates.variations, profile.backgrounds.max_attempts)
    steps = (tried * profile.subjects.num_inference_steps, painted * profile.backgrounds.num_inference_steps)
    return Estimate(
        sources=sources,
        subjects=subjects,
        variations=variations,
        generated=tried + painted,
        image_steps=sum(steps),
        denoising_s=steps[0] / speeds.subjects.steps_per_s + steps[1] / speeds.backgrounds.steps_per_s,
        judging_s=_judging(tried, speeds.subjects) + _judging(painted, speeds.backgrounds),
        cpu_s=tried * speeds.subjects.cpu_s + painted * speeds.backgrounds.cpu_s,
        bytes=2 * (variations + subjects) * profile.sources.size**2 * PNG_BYTES_PER_PIXEL,
    )


def attempts(rate: float, most: int) -> float:
    """Mean attempts of a slot that is tried until it is accepted, ``most`` times at most."""
    return filled(rate, most) / rate if rate > 0 else float(most)


def filled(rate: float, most: int) -> float:
    """Share of the slots that are accepted in the end."""
    return 1 - (1 - rate) ** most


def _judging(pictures: float, speed: StageSpeed) -> float:
    return pictures * sum(1 / rate for rate in speed.judges_per_s.values())
