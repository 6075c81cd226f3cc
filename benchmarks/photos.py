"""How well does each extractor read poses of photographs? OKS against a COCO-keypoints file, as a build would get them.

    python benchmarks/photos.py [--photos ../shared/photos] [--profiles tiny photos] [--models_root DIR]

The folder holds ``images/`` and ``person_keypoints.json``, one person a photo. A photo without a pose counts as 0.
Below stands how many people each extractor sees where there are none: a cat and plain textures, cut and turned.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: see torch_threads in the profile

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.config import Profile, build_config, load_profile
from pipeline.imaging.keypoints import oks
from pipeline.inputs.listing import list_sources
from pipeline.models.extractors import people
from pipeline.models.resolve import Model
from pipeline.stages.poses import FindPoses
from pipeline.stages.recipe import recipe
from pipeline.stages.sources import Sources

PHOTOS = Path(__file__).parents[2] / "shared" / "photos"
NOBODY = ("chelsea", "brick", "grass", "gravel")
"""Pictures of scikit-image without people; the first is a cat."""


class Read(NamedTuple):
    """What an extractor made of a photo.

    Attributes:
        score: OKS, 0..1; 0 without a pose.
        reason: Why there is no pose, else None.
        seconds: What it took, the squaring left out.
    """

    score: float
    reason: str | None
    seconds: float


def read_photos(profile: Profile, photos: Path, models_root: str | None = None) -> dict[str, Read]:
    """By photo, how well a build with that profile reads its pose."""
    images, truth = str(photos / "images"), str(photos / "person_keypoints.json")
    found, asked = _stage(profile, images, None, models_root), _stage(profile, images, truth, models_root)
    read = {}
    for source in Sources.of(profile.sources).process(list_sources([images], poses=truth)):
        (slot,) = found.expand([source])
        started = time.perf_counter()
        (row,) = found.process([slot])
        seconds = time.perf_counter() - started
        (wanted,) = asked.process([slot])
        if not wanted.ok:
            raise SystemExit(f"{truth}: {source.path}: {wanted.reason or wanted.error}")
        score = oks(np.asarray(wanted.keypoints), np.asarray(row.keypoints)) if row.ok else 0.0
        read[source.path] = Read(score, None if row.ok else str(row.reason or row.error), seconds)
    return read


def people_where_nobody_is(profile: Profile, models_root: str | None = None) -> dict[str, tuple[int, int]]:
    """By picture, how many of its cut-outs show people, as the extractor has it, and how many cut-outs there are."""
    from skimage import data

    model = Model(profile.models.extractor or profile.models.pose, models_root)
    counts = {}
    for name in NOBODY:
        cuts = list(_cuts(getattr(data, name)()))
        counts[name] = (sum(bool(people(model, cut)) for cut in cuts), len(cuts))
    return counts


def _stage(profile: Profile, images: str, poses: str | None, models_root: str | None) -> FindPoses:
    config = build_config(sources=(images,), poses=poses, models_root=models_root)
    (stage,) = (stage for stage in recipe(profile, config) if isinstance(stage, FindPoses))
    return stage


def _cuts(image: np.ndarray) -> Iterator[np.ndarray]:
    """The whole picture and four parts of it, each in the four directions and mirrored."""
    image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    height, width = image.shape[:2]
    for quarter in range(4):
        turned = np.rot90(image, quarter)
        height, width = turned.shape[:2]
        for part in (
            turned,
            turned[: height // 2, : width // 2],
            turned[height // 2 :, width // 2 :],
            turned[height // 4 :],
            turned[: 3 * height // 4, width // 4 :],
        ):
            yield np.ascontiguousarray(part)
            yield np.ascontiguousarray(part[:, ::-1])


def show(reads: dict[str, dict[str, Read]], nobody: dict[str, dict[str, tuple[int, int]]]) -> None:
    """Prints the two tables; a column a profile."""
    console = Console()
    table = Table("photo", *(f"{name}: OKS" for name in reads))
    first = next(iter(reads.values()))
    for path in first:
        table.add_row(path, *(_cell(read[path]) for read in reads.values()))
    table.add_section()
    table.add_row("mean", *(f"{np.mean([r.score for r in read.values()]):.3f}" for read in reads.values()))
    table.add_row("without a pose", *(f"{sum(r.reason is not None for r in read.values())}" for read in reads.values()))
    table.add_row(
        "median seconds a photo", *(f"{np.median([r.seconds for r in read.values()]):.2f}" for read in reads.values())
    )
    console.print(table)
    table = Table("nobody there", *(f"{name}: people seen in" for name in nobody))
    for picture in NOBODY:
        table.add_row(picture, *("{} of {}".format(*counts[picture]) for counts in nobody.values()))
    console.print(table)


def _cell(read: Read) -> str:
    return f"{read.score:.2f}" if read.reason is None else f"0 ({read.reason})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the photos with each profile's extractor and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--profiles", nargs="+", default=["tiny", "photos"])
    parser.add_argument("--models_root")
    options = parser.parse_args(arguments)
    profiles = {name: load_profile(name) for name in options.profiles}
    reads = {name: read_photos(profile, options.photos, options.models_root) for name, profile in profiles.items()}
    nobody = {name: people_where_nobody_is(profile, options.models_root) for name, profile in profiles.items()}
    show(reads, nobody)


if __name__ == "__main__":
    main()
