"""What came of a build: counts, reasons, and whether it is good enough."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pipeline.manifest.read import Manifest
from pipeline.records import Status
from pipeline.runner.duplicates import Duplicates
from pipeline.runner.engine import Chain

Counts = dict[str, dict[str, int]]
"""By stage, in order: rows by status, or rejected rows by reason."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a build.

    Attributes:
        manifest, rejected: The files written; ``rejected`` lists everything that is not in the manifest, and why.
        digest: Of the manifest's content.
        rows: Of the manifest: the accepted variations.
        sources: Files that were listed.
        counts: For each stage in order, rows by status. reasons: For each stage, rejected rows by reason.
        problem: Why the build counts as failed, one line; None: it is good.
    """

    manifest: str
    rejected: str
    digest: str
    rows: int
    sources: int
    counts: Counts
    reasons: Counts
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """A build's fragments, as far as they are there.

    Attributes:
        chains: Each shard's, in the order of the listing.
        duplicates: None while not all sources have been opened.
    """

    chains: list[Chain]
    duplicates: Duplicates | None

    def counts(self) -> tuple[Counts, Counts]:
        """By stage: rows by status, and rejected rows by reason; duplicates are counted among the sources."""
        counts: dict[str, Counter[str]] = {}
        reasons: dict[str, Counter[str]] = {}
        for fragment in (fragment for chain in self.chains for fragment in chain):
            counts.setdefault(fragment.stage, Counter()).update(fragment.counts)
            reasons.setdefault(fragment.stage, Counter()).update(fragment.reasons)
        for reason, _ in self.duplicates.found.values() if self.duplicates else ():
            first = self.chains[0][0].stage
            counts[first].update({Status.OK: -1, Status.REJECTED: 1})
            reasons[first][reason] += 1
        return {k: dict(v) for k, v in counts.items()}, {k: dict(v) for k, v in reasons.items()}


def problem(manifest: Manifest, counts: Counts, reasons: Counts, max_failure_rate: float) -> str | None:
    """Why a build counts as failed, one line; None: it is good."""
    for stage, of_stage in counts.items():
        failed, total = of_stage.get(Status.FAILED, 0), sum(of_stage.values())
        if failed > max_failure_rate * total:
            return (
                f"{failed} of {total} rows of stage {stage} failed, more than --max-failure-rate {max_failure_rate:g}; "
                f"what is good is in {manifest.path}, the errors in {manifest.rejected_path}; "
                "try again with --retry failed"
            )
    if manifest.rows == 0:
        why = Counter[str]()
        for of_stage in reasons.values():
            why.update(of_stage)
        said = ", ".join(f"{number} {reason}" for reason, number in why.most_common()) or "no rows"
        return f"nothing was accepted ({said}); see {manifest.rejected_path}"
    return None
