"""Estimates follow from steps, attempts, rates and speeds; speeds are of the profile's models or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import UserError, build_config, load_profile
from pipeline.runner.estimate import Rates, attempts, estimate, filled
from pipeline.runner.speeds import Speeds, StageSpeed, measured, published, save

SURE = Rates(sources=1, subjects=1, variations=1)


def speeds(**changes: object) -> Speeds:
    one = StageSpeed(steps_per_s=50, judges_per_s={"sam": 100, "clip": 100}, cpu_s=0.5)
    given = {"gpu": "x", "family": "sd", "size": 512, "source": "us", "subjects": one, "backgrounds": one}
    return Speeds.model_validate(given | changes)


def test_where_everything_is_accepted_it_is_a_multiplication() -> None:
    profile = load_profile("sd15")
    made = estimate(profile, build_config(sources=("x",), subjects=4, backgrounds=5), 10, speeds(), SURE)
    assert (made.subjects, made.variations, made.generated) == (40, 200, 240)
    assert made.image_steps == 240 * 20
    assert made.denoising_s == pytest.approx(240 * 20 / 50)
    assert made.judging_s == pytest.approx(240 * 2 / 100)
    assert made.cpu_s == 120
    assert made.bytes == 2 * 240 * 512 * 512 * 1.5


def test_misses_cost_attempts_and_slots() -> None:
    assert filled(0.5, 3) == pytest.approx(7 / 8)
    assert attempts(0.5, 3) == pytest.approx(1 + 1 / 2 + 1 / 4)
    assert attempts(0, 3) == 3
    profile, config = load_profile("sd15"), build_config(sources=("x",), subjects=1, backgrounds=1)
    half = estimate(profile, config, 1000, speeds(), Rates(sources=0.5, subjects=0.5, variations=1))
    assert half.subjects == pytest.approx(500 * filled(0.5, profile.subjects.max_attempts))
    assert half.generated == pytest.approx(500 * attempts(0.5, profile.subjects.max_attempts) + half.subjects)


def test_speeds_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "speeds.json"
    save(speeds(), str(path))
    assert measured(path, load_profile("sd15")) == speeds()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{}", r"gpu: Field required; `spotdiff bench --out` writes one"),
        (speeds(size=64).model_dump_json(), r"of sd at 64 px, but profile sd15 is sd at 512 px"),
        (speeds().model_dump_json().replace("50.0", "0"), r"subjects\.steps_per_s: Input should be greater than 0"),
    ],
)
def test_speeds_that_say_nothing_are_refused(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "speeds.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=said):
        measured(path, load_profile("sd15"))


def test_published_speeds_name_their_source_and_are_for_known_models_only() -> None:
    a100 = published(load_profile("sd15"), "A100")
    assert (a100.subjects.steps_per_s, a100.backgrounds.steps_per_s) == (53.6, 76.2)
    assert "published" in a100.source
    for profile, gpu in (("sdxl", "a100"), ("sd15", "abacus"), ("tiny", "a100")):
        with pytest.raises(UserError, match=r"no published speeds.*known: a100 \(sd, 512 px\).*spotdiff bench"):
            published(load_profile(profile), gpu)
