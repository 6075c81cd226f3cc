"""What came of a build: counts, reasons, and whether it is good enough."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pipeline.manifest.read import Manifest
from pipeline.records import Status
from pipeline.runner.fragments import Counts


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
