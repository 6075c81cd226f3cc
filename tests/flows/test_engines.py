"""The local engine inside a real flow run: order, bounds, names, and what happens when a step raises."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterFlowRunId
from prefect.task_runners import ThreadPoolTaskRunner

from flows.engines.local import LocalEngine
from flows.engines.scheduled import Drive, prefect_task
from pipeline.runner.engine import Chain
from pipeline.runner.ledger import DamagedFragment, Fragment
from pipeline.runner.plan import Shard

pytestmark = pytest.mark.usefixtures("server")
SHARDS = [Shard(f"{number:06d}", ()) for number in range(12)]


def fragment(stage: str, shard: str, before: Fragment | None) -> Fragment:
    """One that says in its key where it comes from."""
    key = f"{before.key if before else ''}/{stage}:{shard}"
    return Fragment(
        path="", stage=stage, shard=shard, key=key, settings="", digest="", counts={}, reasons={}, sources=()
    )


@dataclass(frozen=True)
class FakeTask:
    """Looks to an engine like a :class:`~pipeline.runner.task.StageTask`."""

    name: str
    work: Callable[[Shard, Fragment | None], Fragment]

    def run(self, shard: Shard, before: Fragment | None, report: Any) -> Fragment:
        return self.work(shard, before)


class Watch:
    """Tasks that note how many of them and how many shards are under way."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds, self.lock = seconds, threading.Lock()
        self.running = self.most_running = self.most_shards = 0
        self.threads: set[int] = set()
        self.started: dict[str, list[str]] = defaultdict(list)

    def task(self, name: str, last: str = "c") -> FakeTask:
        def run(shard: Shard, before: Fragment | None) -> Fragment:
            with self.lock:
                self.running += 1
                self.most_running = max(self.most_running, self.running)
                self.started[shard.name].append(name)
                unfinished = sum(last not in stages for stages in self.started.values())
                self.most_shards = max(self.most_shards, unfinished)
                self.threads.add(threading.get_ident())
            time.sleep(self.seconds)
            with self.lock:
                self.running -= 1
            return fragment(name, shard.name, before)

        return FakeTask(name, run)


def in_flow(engine: LocalEngine, tasks: list[FakeTask], shards: list[Shard] = SHARDS) -> tuple[list[Chain], Any]:
    """Runs the engine in a flow; gives the chains and the flow run's id."""

    @flow(name="engine-test")
    def run() -> tuple[list[Chain], Any]:
        from prefect.runtime import flow_run

        return engine(shards, tasks), flow_run.id

    return run()


def test_every_shard_goes_through_the_steps_in_order_on_a_few_threads() -> None:
    watch = Watch()
    engine = LocalEngine(workers=2, cancel=threading.Event())
    chains, _ = in_flow(engine, [watch.task(name) for name in "abc"])
    assert [chain[-1].key for chain in chains] == [f"/a:{s.name}/b:{s.name}/c:{s.name}" for s in SHARDS]
    assert all(len(chain) == 3 for chain in chains)
    assert watch.most_running == len(watch.threads) == 2


def test_only_a_window_of_shards_is_under_way() -> None:
    watch = Watch()
    engine = LocalEngine(workers=2, cancel=threading.Event())
    in_flow(engine, [watch.task(name) for name in "abc"])
    assert watch.most_shards <= engine.window == 3


@pytest.mark.parametrize(("together", "names"), [(1, 12), (5, 3), (20, 1)])
def test_a_few_shards_may_share_a_task(together: int, names: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay together from task to task, and what comes of each is told and returned in their order."""
    watch, landed, submitted = Watch(0), [], []

    def noted(submit: Callable[..., Any]) -> Callable[..., Any]:
        def submitting(task: Any, parameters: dict[str, Any]) -> Any:
            submitted.append(parameters)
            return submit(task, parameters)

        return submitting

    @flow(name="engine-test")
    def run() -> list[Chain]:
        with ThreadPoolTaskRunner(max_workers=2) as runner:
            monkeypatch.setattr(runner, "submit", noted(runner.submit))
            tasks = [prefect_task(watch.task(name), lambda news: None) for name in "ab"]
            drive = Drive(runner, tasks, lambda: 2, threading.Event(), landed.append, together)
            return drive(SHARDS)

    chains = run()
    assert [chain[-1].key for chain in chains] == [f"/a:{s.name}/b:{s.name}" for s in SHARDS]
    assert sorted(one.fragment.key for one in landed) == sorted(each.key for chain in chains for each in chain)
    assert len(submitted) == 2 * names and len({each["shards"] for each in submitted}) == names
    if together == 5:
        assert {each["shards"] for each in submitted} >= {"000000 to 000004", "000010 to 000011"}


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_shards_than_workers(count: int) -> None:
    chains, _ = in_flow(LocalEngine(3, threading.Event()), [Watch().task("a", "a")], SHARDS[:count])
    assert [len(chain) for chain in chains] == [1] * count


def test_without_steps_there_is_nothing_to_do() -> None:
    assert LocalEngine(2, threading.Event())(SHARDS, []) == [[] for _ in SHARDS]


def test_prefect_shows_each_task_by_stage_and_shard() -> None:
    _, run_id = in_flow(LocalEngine(2, threading.Event()), [Watch().task(name) for name in "ab"], SHARDS[:2])
    wanted = {"a 000000", "a 000001", "b 000000", "b 000001"}
    of_this_run = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run_id]))
    names: set[str] = set()
    deadline = time.monotonic() + 20  # the server records task runs in the background
    with get_client(sync_client=True) as client:
        while names != wanted and time.monotonic() < deadline:
            names = {run.name for run in client.read_task_runs(task_run_filter=of_this_run)}
            time.sleep(0.2)
    assert names == wanted


def test_an_error_stops_the_other_threads_and_comes_out_as_it_is() -> None:
    cancel, watch = threading.Event(), Watch()

    def broken(shard: Shard, before: Fragment | None) -> Fragment:
        if shard.name == "000003":
            raise LookupError("no such thing")
        return watch.task("a", "a").work(shard, before)

    with pytest.raises(LookupError, match="no such thing"):
        in_flow(LocalEngine(2, cancel), [FakeTask("a", broken)])
    assert cancel.is_set()
    assert len(watch.started) < len(SHARDS)


def test_damage_ends_the_call_but_not_the_build() -> None:
    """The build removes the fragment and calls the engine again."""
    engine, watch = LocalEngine(2), Watch()

    def damaged(shard: Shard, before: Fragment | None) -> Fragment:
        raise DamagedFragment("poses/000000.parquet", "a flipped bit")

    with pytest.raises(DamagedFragment, match="a flipped bit"):
        in_flow(engine, [FakeTask("a", damaged)])
    assert not engine.cancel.is_set()
    chains, _ = in_flow(engine, [watch.task("a", "a")])
    assert [len(chain) for chain in chains] == [1] * len(SHARDS)
