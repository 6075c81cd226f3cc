"""The flow ``build-dataset``: what ``spotdiff build`` and ``prefect deployment run build-dataset`` run."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from prefect.context import FlowRunContext

from flows.engines import LocalEngine
from flows.progress import progress_artifact, tally_of
from pipeline.config import build_config, default_workers
from pipeline.runner import events
from pipeline.runner.build import Build, open_build
from pipeline.runner.outcome import Outcome

EXAMPLES = "examples/sources"


class BuildFailed(RuntimeError):
    """The build ended, and what came of it does not do; what is good is there all the same."""


@flow(name="build-dataset", retries=0, validate_parameters=True, persist_result=False)
def build_dataset(
    sources: list[str] | None = None,
    manifest: str = "manifests/v1.parquet",
    profile: str = "tiny",
    poses: str | None = None,
    subjects: int = 10,
    backgrounds: int = 10,
    seed: int = 0,
    limit: int | None = None,
    shard_size: int = 2,
    work: str = "work",
    retry: Literal["failed", "rejected"] | None = None,
    max_failure_rate: float = 0.05,
    models_root: str | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Builds a dataset; run again, it resumes.

    Args:
        sources: Folders, globs, files, file lists or tables; None: the examples, with their poses.
        workers: Shards worked on side by side; None: by the number of cores.
        manifest, profile, poses, subjects, backgrounds, seed, limit, shard_size, work, retry, max_failure_rate,
            models_root: See :class:`pipeline.config.BuildConfig`.

    Returns:
        Path and digest of the manifest, and how many rows it has.

    Raises:
        UserError: A parameter is wrong.
        BuildFailed: Nothing was accepted, or too much failed.
    """
    if sources is None:
        sources, poses = [EXAMPLES], poses or f"{EXAMPLES}/poses.json"
    config = build_config(
        sources=tuple(sources),
        manifest=manifest,
        profile=profile,
        poses=poses,
        subjects=subjects,
        backgrounds=backgrounds,
        seed=seed,
        limit=limit,
        shard_size=shard_size,
        work=work,
        retry=retry,
        max_failure_rate=max_failure_rate,
        models_root=models_root,
    )
    outcome = run_here(open_build(config), workers)
    return {"manifest": outcome.manifest, "digest": outcome.digest, "accepted": outcome.rows}


def run_here(build: Build, workers: int | None) -> Outcome:
    """Runs a build inside the current flow run, on the local engine.

    Raises:
        BuildFailed: See :func:`build_dataset`.
    """
    assert FlowRunContext.get() is not None, "outside a flow run use Build.run()"
    engine = LocalEngine(workers or default_workers(build.profile.torch_threads), build.cancel)
    tally = tally_of(build)
    with events.listening(tally), progress_artifact(tally, build.config.run):
        outcome = build.run(engine)
    if outcome.problem:
        raise BuildFailed(outcome.problem)
    return outcome
