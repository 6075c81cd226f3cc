"""The flow without models: the stages are those of ``toy_stages``, all else is what ``build-dataset`` does."""

from __future__ import annotations

from typing import Any

from prefect import flow
from toy_stages import SIZE, recipe

from flows.build_dataset import run_here
from flows.handover import Handover
from pipeline.config import build_config
from pipeline.runner.build import Build, open_build
from pipeline.stages.sources import Sources


def open_toy(sources: str, manifest: str, work: str, shard_size: int = 1, **options: Any) -> Build:
    """A build of 3 x 4 variations a source; ``options`` go to the toy stages."""
    config = build_config(
        sources=(sources,), manifest=manifest, work=work, subjects=3, backgrounds=4, shard_size=shard_size
    )
    return open_build(config, [Sources(size=SIZE), *recipe(**options)])


@flow(name="toy-build")
def toy_build(sources: str, manifest: str, work: str, seconds: float = 0.0, workers: int = 2) -> str:
    """Gives the manifest's digest; ``seconds`` is what a variation costs."""
    build = open_toy(sources, manifest, work, variations={"seconds": seconds})
    return run_here(Handover(build), workers).digest
