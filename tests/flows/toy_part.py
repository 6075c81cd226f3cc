"""``spotdiff build --part I/N`` and ``spotdiff replay`` with the toy stages, as commands of their own.

Arguments: ``part I/N`` or ``replay STAGE SHARD``, then sources, manifest, work folder, seconds that a variation takes.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "pipeline"))

from toy_stages import SIZE, recipe

from flows.cli import command_line
from flows.cli.part import run_part
from flows.cli.replay import run_replay
from pipeline.config import build_config
from pipeline.stages.sources import Sources


def toy() -> int:
    *what, sources, manifest, work, seconds = sys.argv[1:]
    stages = [Sources(size=SIZE), *recipe(variations={"seconds": float(seconds)})]
    if what[0] == "replay":
        return run_replay(what[1], what[2], manifest, work, stages)
    config = build_config(sources=(sources,), manifest=manifest, work=work, subjects=3, backgrounds=4, shard_size=1)
    return run_part(config, what[1], workers=1, verbose=False, stages=stages)


if __name__ == "__main__":
    command_line(toy)
