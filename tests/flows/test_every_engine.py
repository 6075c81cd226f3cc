"""One build, whoever runs it, wherever its files are, whatever dies on the way: always the same digest."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from commands import ROOT, TOYS
from prefect import flow
from toy_engine_tasks import ASKED, BrokenTask, WhereTask, asked, warm_up
from toy_flow import open_toy
from toy_stages import write_pictures

from flows.build_dataset import build_dataset, handed
from flows.engines.threads import ThreadEngine
from flows.handover import Handover
from flows.progress import tally_of
from pipeline.config import UserError
from pipeline.manifest.finish import build_manifest
from pipeline.runner import events
from pipeline.runner.build import Build
from pipeline.runner.ledger import DamagedFragment
from pipeline.runner.plan import Part, Shard
from pipeline.runner.run_stage import Cancelled

pytestmark = pytest.mark.usefixtures("server")
ENGINES = ["local", "ray", "parts"]
SOURCES = 6
STORE_BYTES = 80 << 20
GPUS = 2


@pytest.fixture(scope="module")
def cluster(s3_settings: dict[str, str]) -> Iterator[Any]:
    """A Ray cluster of one machine with two GPUs that are not there; this process is connected to it."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="r") as folder:
        for name, value in s3_settings.items():  # of the workers, for as long as they live
            patch.setenv(name, value)
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_worker_niceness", "0")  # Ray's 15 starves its workers on a busy machine
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(TOYS), str(Path(__file__).parent), *sys.path]))
        made = Cluster(initialize_head=True, head_node_args=node(GPUS))
        ray.init(made.address, log_to_driver=False, logging_level="ERROR")
        yield made
        ray.shutdown()
        made.shutdown()


def node(gpus: int) -> dict[str, Any]:
    return {"num_cpus": gpus, "num_gpus": gpus, "object_store_memory": STORE_BYTES, "include_dashboard": False}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_pictures(tmp_path_factory.mktemp("sources") / "in", SOURCES)
    (folder / "again.png").write_bytes((folder / "00001.png").read_bytes())  # for the check between the stages
    return str(folder)


@pytest.fixture(scope="module")
def digest(sources: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the same build in one thread, without any scheduler."""
    folder = tmp_path_factory.mktemp("calm")
    return build_manifest(toy(sources, str(folder), shard_size=2)).digest


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"{request.getfixturevalue('s3')}/{tmp_path.name}"


@pytest.fixture
def on(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Runs a build on an engine of that name and gives the manifest's digest."""

    def run(engine: str, build: Build, workers: int | None = None, work: Handover | None = None) -> str:
        if engine == "ray":
            request.getfixturevalue("cluster")
        if engine == "parts":
            in_parts(build, 3)
            return build_manifest(build).digest
        with handed(work or Handover(build)):
            return str(build_dataset(workers=workers, engine=engine)["digest"])

    return run


def toy(sources: str, place: str, seconds: float = 0.0, shard_size: int = 1, gate: str = "") -> Build:
    """A build whose tasks take a GPU each."""
    variations = {"seconds": seconds, "gate": gate}
    build = open_toy(sources, f"{place}/m.parquet", f"{place}/work", shard_size, variations=variations)
    return replace(build, profile=build.profile.model_copy(update={"gpus": 1.0}))


def in_parts(build: Build, count: int) -> None:
    """All parts side by side; they know nothing of each other but the files."""
    with ThreadPoolExecutor(count) as pool:
        parts = (Part(number + 1, count) for number in range(count))
        list(pool.map(lambda part: build.run_part(part, ThreadEngine(1)), parts))
    assert build.complete(build.scan()), "parts together are the whole"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_digest_on_disk_and_s3(engine: str, sources: str, place: str, digest: str, on: Any) -> None:
    assert on(engine, toy(sources, place)) == digest


@pytest.mark.parametrize(("first", "then"), [("local", "ray"), ("ray", "parts"), ("parts", "local")])
def test_another_engine_shard_size_and_worker_count_midway(
    first: str, then: str, sources: str, tmp_path: Path, digest: str, on: Any
) -> None:
    build = toy(sources, str(tmp_path), seconds=0.05)
    stop_midway(build, first, on)
    there = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("variations/*.parquet")}
    assert 0 < len(there) < SOURCES
    assert not build.complete(build.scan())
    assert on(then, toy(sources, str(tmp_path), shard_size=3), workers=1) == digest
    assert {path: path.stat().st_mtime_ns for path in there} == there


def stop_midway(build: Build, engine: str, on: Any) -> None:
    if engine == "parts":
        build.run_part(Part(2, 3))
        return
    work = Handover(build)

    def stop(news: events.Progress) -> None:
        if news.stage == "variations" and news.finished:
            work.cancel.set()

    with events.listening(stop), pytest.raises(Cancelled):
        on(engine, build, 2, work)


@pytest.mark.slow
def test_a_machine_dies_midway(cluster: Any, sources: str, tmp_path: Path, digest: str, on: Any) -> None:
    build = toy(sources, str(tmp_path), seconds=0.1)
    tally, other = tally_of(build), cluster.add_node(**node(1))
    warmed(other)

    def kill_once_at_work() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if busy := [child for child in tasks_of(other) if "variations" in child.name()]:
                killed.append(len(busy))
                break
            time.sleep(0.05)
        cluster.remove_node(other, allow_graceful=False)

    killed: list[int] = []
    killer = threading.Thread(target=kill_once_at_work)
    killer.start()
    with events.listening(tally):
        assert on("ray", build) == digest
    killer.join()
    assert killed, "the machine was to be at work when it died"
    assert tally.share() == 1.0


@pytest.mark.usefixtures("cluster")
def test_progress_of_rays_tasks_is_heard_of_while_they_work(sources: str, tmp_path: Path, digest: str, on: Any) -> None:
    gate = tmp_path / "heard"
    build = toy(sources, str(tmp_path), gate=str(gate))

    def hear(news: events.Progress) -> None:
        if news.stage == "variations" and not news.finished:
            gate.touch()

    with events.listening(hear):
        assert on("ray", build) == digest
    assert gate.exists()


def warmed(machine: Any) -> None:
    """A process of that machine is ready for work."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(machine.node_id, soft=False)
    ray.get(ray.remote(num_gpus=1, max_calls=0)(warm_up).options(scheduling_strategy=there).remote())


def test_a_worker_dies_midway(cluster: Any, sources: str, tmp_path: Path, digest: str, on: Any) -> None:
    killed: list[int] = []

    def kill(news: events.Progress) -> None:
        if news.stage == "variations" and not killed:
            for child in tasks_of(cluster.head_node):
                if "variations" in child.name():
                    killed.append(child.pid)
                    child.kill()
                    return

    with events.listening(kill):
        assert on("ray", toy(sources, str(tmp_path), seconds=0.15)) == digest
    assert killed


def tasks_of(machine: Any) -> list[psutil.Process]:
    """The processes that run a task at this moment: Ray names them after it."""
    raylet = next(iter(machine.all_processes["raylet"])).process
    try:
        children = psutil.Process(raylet.pid).children(recursive=True)
        return [child for child in children if child.cmdline()[:1] and child.cmdline()[0].startswith("ray::")]
    except psutil.NoSuchProcess:
        return []


def engine_of(build: Build, **told: Any) -> Any:
    from flows.engines.ray import RayEngine

    return RayEngine(build.profile.model_copy(update=told))


def in_flow(engine: Any, tasks: list[Any], shards: int) -> list[Any]:
    ASKED[:] = engine, [Shard(f"{number:06d}", ()) for number in range(shards)], tasks
    return list(flow(name="engine")(asked)())


@pytest.mark.usefixtures("cluster")
def test_models_stay_in_as_many_processes_as_there_are_gpus(sources: str, tmp_path: Path) -> None:
    chains = in_flow(engine_of(toy(sources, str(tmp_path))), [WhereTask()], 12)
    assert len(chains) == 12
    assert len({chain[0].key for chain in chains}) <= GPUS


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("damage", DamagedFragment, "a flipped bit"),
        ("bug", LookupError, "no such thing"),
        ("dies", UserError, "Ray gave up a task .*the same command goes on"),
    ],
)
def test_errors_of_workers_come_out_here(
    how: str, error: type[Exception], message: str, sources: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        in_flow(engine_of(toy(sources, str(tmp_path))), [BrokenTask(how)], 1)


@pytest.mark.usefixtures("cluster")
def test_a_cluster_without_room_is_told(sources: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a task takes 1 GPU and 99 CPU, which no machine of the Ray cluster has"):
        in_flow(engine_of(toy(sources, str(tmp_path)), torch_threads=99), [WhereTask()], 1)


def test_machines_that_start_beside_the_head_are_waited_for(
    sources: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.engines import ray as engine

    head, worker = ({"Alive": True, "Resources": resources} for resources in ({"GPU": 0.0}, {"CPU": 2.0}))
    seen = iter([[head], [head], [head, worker]])
    monkeypatch.setattr(engine.ray, "nodes", lambda: next(seen, [head, worker]))
    monkeypatch.setattr(engine, "_COUNT_SECONDS", 0.01)
    with pytest.raises(UserError, match=r"takes 1 GPU and .* CPU, which no machine of the Ray cluster has"):
        in_flow(engine_of(toy(sources, str(tmp_path))), [WhereTask()], 1)
    assert next(seen, None) is None
    monkeypatch.setattr(engine.ray, "nodes", lambda: [head])
    monkeypatch.setattr(engine, "MACHINES_SECONDS", 0.0)
    with pytest.raises(UserError, match=r"no machine that works for 0 s, but a head alone; `ray start"):
        in_flow(engine_of(toy(sources, str(tmp_path))), [WhereTask()], 1)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nonsense"])
def test_a_cluster_that_does_not_answer_is_told_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from flows.engines.ray_cluster import connected

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    begun = time.monotonic()
    with pytest.raises(UserError, match=f"--ray-address {address}: no Ray cluster answers"), connected(address):
        pass
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("GRPC connection failed: terminated with:\nUNAVAILABLE", "GRPC connection failed"),
        ("no answer from ray://head:10001", "no answer from ray://head:10001"),
    ],
)
def test_a_head_that_is_lost_is_told_in_one_line(
    message: str, what: str, sources: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.engines import ray as engine

    def lost() -> None:
        raise ConnectionError(message)

    monkeypatch.setattr(engine.ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 9.0, "GPU": 9.0}}])
    monkeypatch.setattr(engine, "RayTaskRunner", lost)
    said = rf"^Ray's head was lost \({what}\); what is finished is kept: .* goes on$"
    with pytest.raises(UserError, match=said):
        in_flow(engine_of(toy(sources, str(tmp_path))), [WhereTask()], 1)


@pytest.mark.parametrize("failures", [2, 3])
def test_a_head_too_busy_to_begin_is_asked_again(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from flows.engines.ray_cluster import connected

    asked = []

    def init(address: str, **_: Any) -> None:
        asked.append(address)
        if len(asked) <= failures:
            raise ConnectionError("Initialization failure from server:\nTraceback")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    refused = pytest.raises(UserError, match=r"no Ray cluster answers \(Initialization failure")
    with refused if failures == 3 else nullcontext(), connected("ray://elsewhere"):
        pass
    assert asked == ["ray://elsewhere"] * 3


def test_ray_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.engines.ray_cluster import connected

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'spotdiff10k\[ray\]'"), connected("auto"):
        pass
