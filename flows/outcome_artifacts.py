"""What came of a build, in Prefect's dashboard: a table of counts and reasons, and where the report is."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline import store
from pipeline.manifest.outcome import Outcome

logger = logging.getLogger(__name__)


def show_outcome(outcome: Outcome, run: str, report: str | None) -> None:
    """Leaves the artifacts with the flow run; a server that does not take them costs the display, not the build.

    Args:
        outcome: Of the build.
        run: The build's name; part of the artifacts' keys.
        report: The report's first page, where there is one.
    """
    from prefect.artifacts import create_link_artifact, create_table_artifact

    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in run.lower())
    try:
        create_table_artifact(
            outcome_table(outcome),
            key=f"outcome-{name}",
            description=f"{outcome.rows} variations in {outcome.manifest}",
        )
        if report:
            link = Path(store.filesystem(report)[1]).as_uri() if store.is_local(report) else report
            create_link_artifact(link, link_text=report, key=f"report-{name}", description="What was built, to look at")
    except Exception as error:
        logger.warning("this run's outcome is not shown in Prefect: %s", error)


def outcome_table(outcome: Outcome) -> list[dict[str, str | int]]:
    """One row a stage."""
    return [
        {
            "stage": stage,
            **{status: counts.get(status, 0) for status in ("ok", "rejected", "failed")},
            "why": ", ".join(
                f"{count} {reason}"
                for reason, count in sorted(
                    outcome.reasons.get(stage, {}).items(), key=lambda item: (-item[1], item[0])
                )
            ),
        }
        for stage, counts in outcome.counts.items()
    ]
