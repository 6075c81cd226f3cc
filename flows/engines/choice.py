"""Picks a build's engine by its name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flows.engines.workers import default_workers
from flows.options import EngineName
from pipeline.config import Profile
from pipeline.runner.engine import Engine


@contextmanager
def engine_for(
    name: EngineName, profile: Profile, workers: int | None, cancel: threading.Event, ray_address: str
) -> Iterator[Engine]:
    """An engine under Prefect, ready as long as the block runs.

    Args:
        name: Which.
        profile: What its tasks take of a machine.
        workers: Shards worked on side by side; None: by the devices that are there.
        cancel: Ends the engine's work when it is set.
        ray_address: See :func:`flows.engines.ray_cluster.connected`.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    if name == "local":
        from flows.engines.local import LocalEngine

        yield LocalEngine(workers or default_workers(profile.torch_threads), cancel)
        return
    from flows.engines.ray_cluster import connected

    with connected(ray_address):
        from flows.engines.ray import RayEngine

        yield RayEngine(profile, workers, cancel)
