"""The flow ``build-dataset``: what ``spotdiff build`` and ``prefect deployment run build-dataset`` run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect import State, flow
from prefect.context import FlowRunContext
from prefect.states import Failed

from flows.engines.choice import engine_for
from flows.handover import Handover
from flows.options import EngineName, takes_build_options
from flows.outcome_artifacts import show_outcome
from flows.progress import progress_artifact, tally_of
from flows.report import write_build_report
from pipeline.config import UserError, build_config
from pipeline.failures import told
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
def build_dataset(
    options: dict[str, Any],
    workers: int | None = None,
    engine: EngineName = "local",
    ray_address: str = "auto",
    report: bool = True,
) -> dict[str, Any] | State[Any]:
    """Builds a dataset; run again, it resumes.

    Args:
        options: The fields of :class:`pipeline.config.BuildConfig`, each a parameter of its own. Without ``sources``:
            the examples, with their poses.
        workers: Shards worked on side by side; None: by the GPUs that are there, or the cores.
        engine: ``local``: threads of this process. ``ray``: a Ray cluster, or all GPUs of this machine.
        ray_address: See :func:`flows.engines.ray_cluster.connected`.
        report: Write the report beside the manifest at the end.

    Returns:
        Path and digest of the manifest, and how many rows it has. Where a user can cause or mend what went wrong: a
        state that says so in one line, in Prefect's dashboard too.
    """
    if options["sources"] is None:
        options |= {"sources": (EXAMPLES,), "poses": options["poses"] or f"{EXAMPLES}/poses.json"}
    try:
        outcome = run_here(_work(options, report, engine == "local"), workers, engine, ray_address)
    except Exception as error:
        message = one_line(error)
        if message is None or _told_elsewhere():
            raise
        return Failed(message=message)
    return {"manifest": outcome.manifest, "digest": outcome.digest, "accepted": outcome.rows}


def one_line(error: BaseException) -> str | None:
    """What Prefect shows of a failure; None: it is a fault of ours, and deserves its traceback."""
    message = str(error) if isinstance(error, UserError | BuildFailed) else told(error)
    return message and " ".join(message.split())


def _work(options: dict[str, Any], report: bool, here: bool) -> Handover:
    """What the caller handed over, else a build of these options. Apart from the flow, which Ray's workers unpickle."""
    work = _handed.get()
    if work is None:
        work = Handover(open_build(build_config(**options)), report)
        found = work.build.scan()
        if not work.build.complete(found):
            check(work.build, found, here=here)
    return work


def _told_elsewhere() -> bool:
    """Whether a command runs the flow and tells by itself what went wrong. See :func:`_work` for why it is apart."""
    return _handed.get() is not None


def run_here(work: Handover, workers: int | None, engine: EngineName = "local", ray_address: str = "auto") -> Outcome:
    """Does a build's work inside the current flow run.

    Raises:
        UserError: The engine cannot be had.
        BuildFailed: See :func:`build_dataset`.
    """
    assert FlowRunContext.get() is not None, "outside a flow run use build_manifest()"
    build = work.build
    tally = tally_of(build)
    with (
        events.listening(tally),
        progress_artifact(tally, build.config.run),
        work.at_work(),
        engine_for(engine, build.profile, workers, work.cancel, ray_address) as chosen,
    ):
        outcome = build_manifest(build, chosen)
        report = write_build_report(build) if work.report and outcome.rows else None
    show_outcome(outcome, build.config.run, report)
    if outcome.problem:
        raise BuildFailed(outcome.problem)
    return outcome
