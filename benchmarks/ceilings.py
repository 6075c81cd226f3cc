"""What a perfect reader of the pictures could reach in SSR: the limit that drawing errors set, not encoders.

    python benchmarks/ceilings.py --manifest manifests/full.parquet

SSR asks that *every* picture of a subject be nearer than any impostor, so one shirt drawn in another colour fails all
queries of its subject. Here readers that no network stands behind are ranked as encoders are. One is told what the
subject bank says. The others read pixels at true keypoints, by the judges of the miniature world
(:mod:`tinyworld.judges.attributes`): of exact renders of the same subjects, each of its poses and backgrounds taken
from the world, and of the dataset's pictures. What lies between these two was lost when the pictures were drawn.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: see torch_threads in the profile

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from spotdiff_model.evaluation.extract import decoded
from spotdiff_model.evaluation.probes.factors import FactorLabels, read_sample
from spotdiff_model.evaluation.probes.ranking import same_subject_ranking
from spotdiff_model.evaluation.probes.retrieval import retrieval
from spotdiff_model.evaluation.probes.twins import near_twins
from tinyworld.judges.attributes import JUDGED, SEED, grow_judges
from tinyworld.world import Identity
from tinyworld.world.render import Scene, render, sample_scene

Told = Mapping[str, Sequence[str | None]]
"""By attribute, a value for each picture; None: not to be seen."""
_FIRST = SEED + 100_000
"""Poses and backgrounds of the world from here on: the judges were grown on others."""


def main() -> None:
    """Reads a split, ranks the readers, prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", required=True, help="of the miniature world")
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    sample = read_sample(options.manifest, options.split)
    factors, console = sample.factors, Console()
    judges = grow_judges()
    images = np.stack([np.asarray(picture) for batch in decoded(sample.images) for picture in batch])
    seen = by_attribute(judges.read_all(images, factors.keypoints))
    shots = [render(scene) for scene in track(scenes(factors), "exact renders", console=console)]
    exact, keypoints = np.stack([shot.image for shot in shots]), np.stack([shot.keypoints for shot in shots])
    drawn = by_attribute(judges.read_all(exact, keypoints))
    bank: Told = {name: factors.attributes[name].tolist() for name in JUDGED}

    right = Table(
        "attribute", "visible", "as told", "exact renders", title=f"{len(sample)} pictures of {options.split}"
    )
    wrong = np.zeros(len(sample), bool)
    for name in JUDGED:
        visible = np.array([value is not None for value in seen[name]])
        same = np.array(seen[name], object) == np.array(bank[name], object)
        wrong |= visible & ~same
        right.add_row(name, f"{visible.mean():.3f}", f"{same[visible].mean():.3f}", f"{judges.ceilings[name]:.3f}")
    console.print(right)
    faultless = [not wrong[factors.subject == subject].any() for subject in np.unique(factors.subject)]
    console.print(f"pictures without a wrong one: {1 - wrong.mean():.3f}; subjects: {np.mean(faultless):.3f}")

    ranks = Table("reader", "R@1 hard", "SSR", "pairwise", "SSR, strangers", "pairwise, strangers")
    everything: Told = {name: values.tolist() for name, values in factors.attributes.items()}
    for title, told in (
        ("told all attributes", everything),
        (f"told the {len(JUDGED)} that pixels tell", bank),
        ("reads those in exact renders", drawn),
        ("reads those in the pictures", seen),
    ):
        ranks.add_row(title, *ranked(one_hot(told), factors))
    console.print(ranks)


def scenes(factors: FactorLabels) -> list[Scene]:
    """Of each picture: its subject, and a pose and a background of the world that stand for its own."""
    numbers = (np.unique(names, return_inverse=True)[1] for names in (factors.pose, factors.background))
    found = []
    for row, (pose, place) in enumerate(zip(*numbers, strict=True)):
        identity = Identity(**{name: str(values[row]) for name, values in factors.attributes.items()})
        background = sample_scene(_FIRST + int(place)).background
        found.append(dataclasses.replace(sample_scene(_FIRST + int(pose)), identity=identity, background=background))
    return found


def by_attribute(read: Sequence[Mapping[str, str]]) -> Told:
    """What judges have read, attribute by attribute."""
    return {name: [found.get(name) for found in read] for name in JUDGED}


def one_hot(told: Told) -> np.ndarray:
    """``[N, V]``: one where a picture has a value; an attribute that is not to be seen has none."""
    columns = [
        [value == wanted for value in values]
        for values in told.values()
        for wanted in sorted({value for value in values if value is not None})
    ]
    return np.array(columns, float).T


def ranked(feature: np.ndarray, factors: FactorLabels) -> list[str]:
    """R@1 in the hard gallery; SSR and pairwise accuracy, with near twins and without."""
    # equal values are no order: a seeded grain of noise settles ties by chance
    feature = feature + np.random.default_rng(0).normal(scale=1e-4, size=feature.shape)
    found = retrieval(feature, factors, "subject")
    shown = [f"{found.recall_at_1:.3f}" if found else ""]
    for excused in (None, near_twins(factors)):
        ranking = same_subject_ranking(feature, factors, excused=excused)
        shown += [f"{ranking.ssr:.3f}", f"{ranking.pairwise:.3f}"] if ranking else ["", ""]
    return shown


if __name__ == "__main__":
    main()
