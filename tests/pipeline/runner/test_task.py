"""What engines are handed is data: it can be sent to another process, and does the same there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cloudpickle
from toy_stages import SIZE, recipe, write_pictures

from pipeline.config import build_config
from pipeline.runner.build import Build, open_build
from pipeline.runner.engine import Chain, Here
from pipeline.runner.plan import Shard
from pipeline.runner.task import StageTask
from pipeline.stages.sources import Sources

ELSEWHERE = """
import sys, cloudpickle
shard, tasks = cloudpickle.load(sys.stdin.buffer)
chain = []
for task in tasks:
    chain.append(task.run(shard, chain[-1] if chain else None))
cloudpickle.dump(chain, sys.stdout.buffer)
"""


def opened(folder: Path, work: str) -> Build:
    values = {"sources": (str(folder / "in"),), "manifest": str(folder / "m.parquet"), "subjects": 3, "backgrounds": 4}
    return open_build(build_config(**values, work=str(folder / work)), [Sources(size=SIZE), *recipe()])


@Here
def by_processes(shards: list[Shard], tasks: list[StageTask]) -> list[Chain]:
    """An engine: a process of its own for each shard."""
    toys = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([toys, *sys.path])}
    command = [sys.executable, "-c", ELSEWHERE]
    chains = []
    for shard in shards:
        sent = cloudpickle.dumps((shard, tasks))
        assert len(sent) < 20_000
        done = subprocess.run(command, input=sent, env=environment, capture_output=True, check=True)
        chains.append(cloudpickle.loads(done.stdout))
    return chains


def test_shards_and_tasks_run_in_other_processes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 3)
    (tmp_path / "in" / "again.png").write_bytes((tmp_path / "in" / "00001.png").read_bytes())
    here, there = opened(tmp_path, "here"), opened(tmp_path, "there")
    one, other = here.run(), there.run(by_processes)
    assert [[f.digest for f in chain] for chain in one.chains] == [[f.digest for f in chain] for chain in other.chains]
    assert there.complete(there.scan())
    assert other.counts()[0]["sources"] == {"ok": 3, "rejected": 1}


def test_the_real_stages_pickle(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 1)
    build = open_build(build_config(sources=(str(tmp_path / "in"),), manifest="m.parquet", work=str(tmp_path)))
    again = cloudpickle.loads(cloudpickle.dumps((list(build.shards), build.tasks)))
    assert again == (list(build.shards), build.tasks)
