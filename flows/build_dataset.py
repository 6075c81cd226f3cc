"""The flow ``build-dataset``: what ``spotdiff build`` and ``prefect deployment run build-dataset`` run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect import flow
from prefect.context import FlowRunContext

from flows.engines.local import LocalEngine
from flows.handover import Handover
from flows.options import takes_build_options
from flows.outcome_artifacts import show_outcome
from flows.progress import progress_artifact, tally_of
from flows.report import write_build_report
from pipeline.config import build_config, default_workers
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.outcome import Outcome
from pipeline.runner import events
from pipeline.runner.build import open_build
from pipeline.runner.preflight import check

EXAMPLES = "examples/sources"
_handed: ContextVar[Handover | None] = ContextVar("handed", default=None)


class BuildFailed(RuntimeError):
    """The build ended, and what came of it does not do; what is good is there all the same."""


@contextmanager
def handed(work: Handover) -> Iterator[None]:
    """Flows that are called inside the block do this work, whose build the caller has opened already."""
    token = _handed.set(work)
    try:
        yield
    finally:
        _handed.reset(token)


@flow(name="build-dataset", retries=0, validate_parameters=True, persist_result=False)
@takes_build_options(sources=(list[str] | None, None))
def build_dataset(options: dict[str, Any], workers: int | None = None, report: bool = True) -> dict[str, Any]:
    """Builds a dataset; run again, it resumes.

    Args:
        options: The fields of :class:`pipeline.config.BuildConfig`, each a parameter of its own. Without ``sources``:
            the examples, with their poses.
        workers: Shards worked on side by side; None: by the number of cores.
        report: Write the report beside the manifest at the end.

    Returns:
        Path and digest of the manifest, and how many rows it has.

    Raises:
        UserError: A parameter is wrong.
        BuildFailed: Nothing was accepted, or too much failed.
    """
    if options["sources"] is None:
        options |= {"sources": (EXAMPLES,), "poses": options["poses"] or f"{EXAMPLES}/poses.json"}
    work = _handed.get()
    if work is None:
        work = Handover(open_build(build_config(**options)), report)
        found = work.build.scan()
        if not work.build.complete(found):
            check(work.build, found)
    outcome = run_here(work, workers)
    return {"manifest": outcome.manifest, "digest": outcome.digest, "accepted": outcome.rows}


def run_here(work: Handover, workers: int | None) -> Outcome:
    """Does a build's work inside the current flow run, on the local engine.

    Raises:
        BuildFailed: See :func:`build_dataset`.
    """
    assert FlowRunContext.get() is not None, "outside a flow run use build_manifest()"
    build = work.build
    tally = tally_of(build)
    engine = LocalEngine(workers or default_workers(build.profile.torch_threads), work.cancel)
    with events.listening(tally), progress_artifact(tally, build.config.run), work.at_work():
        outcome = build_manifest(build, engine)
        report = write_build_report(build) if work.report and outcome.rows else None
    show_outcome(outcome, build.config.run, report)
    if outcome.problem:
        raise BuildFailed(outcome.problem)
    return outcome
