"""The engine of a cluster: Prefect keeps flow, names and states, Ray says where each task runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import ray
from prefect.settings import PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings
from prefect_ray import RayTaskRunner
from prefect_ray.context import remote_options
from ray.exceptions import RayError, RayTaskError

from flows.engines.ray_news import news_desk
from flows.engines.scheduled import Drive, Landed, prefect_task
from pipeline.config import Profile, UserError
from pipeline.runner.engine import Chain
from pipeline.runner.plan import Shard
from pipeline.runner.task import StageTask

logger = logging.getLogger(__name__)
LOST_WORKERS = 3
"""How often Ray runs a task again whose process or machine died."""
QUEUED = 2
"""Tasks under way for each one that the cluster can run at a time: the rest waits where Ray sees it."""
SHARES = 8
"""Tasks for each one that the cluster can run at a time, where all shards pass one stage before the next may begin."""
MACHINES_SECONDS = 180.0
"""How long a cluster may be a head alone, when a build begins; Ray gives a machine half a minute to start."""
_COUNT_SECONDS = 5.0


@dataclass(frozen=True)
class Needs:
    """What a task takes of a machine.

    Attributes:
        gpus: 0..1.
        cores: Threads that torch uses.
    """

    gpus: float
    cores: int

    def __str__(self) -> str:
        return f"{self.gpus:g} GPU and {self.cores} CPU" if self.gpus else f"{self.cores} CPU"

    def room(self) -> int:
        """How many such tasks the machines that are there now can run at a time."""
        return sum(self._on(node["Resources"]) for node in ray.nodes() if node["Alive"])

    def _on(self, has: dict[str, float]) -> int:
        by_cores = int(has.get("CPU", 0) / self.cores)
        return min(by_cores, int(has.get("GPU", 0) / self.gpus)) if self.gpus else by_cores

    def options(self) -> dict[str, Any]:
        """For Ray; ``max_calls=0`` keeps a process, and its models, for the next task of a GPU."""
        return {"num_cpus": self.cores, "num_gpus": self.gpus, "max_calls": 0, "max_retries": LOST_WORKERS}


@dataclass(frozen=True)
class RayEngine:
    """Every stage of a shard is one Prefect task, which Ray runs where a GPU is free, or a core.

    The first look at all sources is short work for many shards, and nothing else begins before it is done. A task costs
    Prefect and Ray some .3 s of CPU, so that a task there takes a few shards.

    Must be called where Ray is connected (:func:`flows.engines.ray_cluster.connected`).

    Attributes:
        profile: Says what a task takes of a machine.
        workers: Shards under way; None: by what there is room for, also while machines come and go.
        cancel: Set to end the work.
    """

    elsewhere: ClassVar[bool] = True

    profile: Profile
    workers: int | None = None
    cancel: threading.Event = field(default_factory=threading.Event)

    def __call__(self, shards: Sequence[Shard], tasks: Sequence[StageTask]) -> list[Chain]:
        """See :class:`pipeline.runner.engine.Engine`. Must be called inside a flow.

        Raises:
            UserError: The cluster has no room for a task, or lost the processes of one again and again.
        """
        if not tasks:
            return [[] for _ in shards]
        needs = Needs(max(task.gpus for task in tasks), self.profile.torch_threads)
        room = _now_and_then(needs.room)
        self._wait_for_machines()
        if not room():
            raise UserError(
                f"profile {self.profile.name}: a task takes {needs}, which no machine of the Ray cluster has; "
                "add one, or set gpus and torch_threads in a profile of your own"
            )
        try:
            return self._drive(needs, room, shards, tasks)
        except (RayError, ConnectionError) as error:  # what breaks the connection may break its closing, too
            raise UserError(_told(error)) from error

    def _drive(
        self, needs: Needs, room: Callable[[], int], shards: Sequence[Shard], tasks: Sequence[StageTask]
    ) -> list[Chain]:
        runner: RayTaskRunner[list[Landed]] = RayTaskRunner()
        # a worker's process asks for the server's version when it begins, and would refuse its task where it is gone
        unasked = temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False})
        with unasked, runner, remote_options(**needs.options()), news_desk() as desk:
            drive = Drive(
                runner,
                [prefect_task(task, desk.report) for task in tasks],
                lambda: self.workers or QUEUED * max(room(), 1),
                self.cancel,
                desk.landed,
                together=max(1, len(shards) // (SHARES * max(room(), 1))) if len(tasks) == 1 else 1,
            )
            try:
                return drive(shards)
            except BaseException:
                _call_off(drive)
                raise

    def _wait_for_machines(self) -> None:
        """A head that does no work is there before its workers, and after they were lost; they are waited for."""
        deadline = time.monotonic() + MACHINES_SECONDS
        while not _cores() and not self.cancel.is_set():
            if time.monotonic() > deadline:
                raise UserError(
                    f"the Ray cluster has had no machine that works for {MACHINES_SECONDS:g} s, but a head alone; "
                    "`ray start --address=HEAD:6379` on another one adds it"
                )
            logger.info("waiting for machines to join the Ray cluster")
            self.cancel.wait(_COUNT_SECONDS)


def _cores() -> float:
    return sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])


def _call_off(drive: Drive) -> None:
    """Ends what is under way; fragments are whole or not there, so that nothing needs to be waited for."""
    for future, _ in drive.under_way.values():
        with suppress(Exception):
            ray.cancel(future.wrapped_future)  # type: ignore[attr-defined]


def _told(error: RayError | ConnectionError) -> str:
    said = error.cause if isinstance(error, RayTaskError) else error
    first = str(said).strip().partition("\n")[0]
    if not isinstance(error, RayError):
        what = first.partition(": ")[0]  # behind it gRPC begins a listing of many lines
        return f"Ray's head was lost ({what}); what is finished is kept: the same command goes on"
    return f"Ray gave up a task ({type(said).__name__}: {first}); what is finished is kept: the same command goes on"


def _now_and_then(count: Callable[[], int]) -> Callable[[], int]:
    """The same count, asked for anew every few seconds."""
    last: tuple[float, int] | None = None

    def counted() -> int:
        nonlocal last
        if last is None or time.monotonic() - last[0] > _COUNT_SECONDS:
            last = time.monotonic(), count()
        return last[1]

    return counted
