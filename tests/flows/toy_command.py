"""``spotdiff build`` with the toy stages: the whole command, without models.

Arguments: sources, manifest, work folder, seconds that a variation takes; the engine, if it is not the local one.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "pipeline"))

from toy_stages import SIZE, recipe

from flows.cli import build as command
from flows.cli import command_line
from pipeline.config import build_config
from pipeline.stages.sources import Sources


def toy_build() -> int:
    sources, manifest, work, seconds, *engine = sys.argv[1:]
    config = build_config(sources=(sources,), manifest=manifest, work=work, subjects=3, backgrounds=4, shard_size=1)
    stages = [Sources(size=SIZE), *recipe(variations={"seconds": float(seconds)})]
    scheduling = {"engine": engine[0], "ray_address": "local"} if engine else {}
    return command.run_build(config, workers=2, verbose=False, stages=stages, **scheduling)


if __name__ == "__main__":
    command.LIBRARIES = {}
    command_line(toy_build)
