"""Runs the flow beside the command, so that a Prefect that hangs does not hang the command."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from flows.cli import FLOW_THREAD
from flows.handover import Handover
from pipeline.config import UserError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Between two looks at the flow and, where it has nothing to do for us, at its server."""
LINGER_SECONDS = 60.0
"""For Prefect's bookkeeping once the work is done."""


def run_scheduled(work: Handover, workers: int | None, alive: Callable[[], bool], **scheduling: Any) -> None:
    """Runs the flow ``build-dataset`` in a thread until the work is over.

    A flow whose server is gone would go on trying to reach it for minutes: its thread is left behind.

    Args:
        work: What the flow is to do. It stays to be taken where Prefect's server went away before the flow began.
        workers: Shards worked on side by side.
        alive: Whether the server is still there.
        scheduling: ``engine`` and ``ray_address``, see :func:`flows.build_dataset.build_dataset`.

    Raises:
        UserError: Prefect's server refuses to run a flow.
        Exception: What the work raised, or Prefect before it began.
        KeyboardInterrupt: The work was stopped, and is over.
    """
    import httpx
    from prefect.events.worker import EventsWorker

    from flows.build_dataset import BuildFailed, build_dataset, handed

    failed: list[BaseException] = []

    def run() -> None:
        try:
            with handed(work):
                config = work.build.config.model_dump(mode="json")
                build_dataset(**config, workers=workers, report=work.report, **scheduling)
        except BuildFailed:
            pass  # the command judges for itself
        except BaseException as error:
            failed.append(error)
        finally:
            EventsWorker.drain_all()  # the server of our own is about to be stopped

    # a thread that nobody waits for at the end of the process
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name=FLOW_THREAD, daemon=True)
    thread.start()
    try:
        _wait(thread, work, alive)
    except KeyboardInterrupt:
        work.cancel.set()
        if not work.take():
            work.done.wait()
        _wait(thread, work, alive)
        raise
    if work.error:
        raise work.error
    if failed and alive():
        if not work.done.is_set():
            if isinstance(failed[0], httpx.HTTPError):
                raise UserError(f"Prefect: {failed[0]}; see to PREFECT_API_URL and its key") from failed[0]
            raise failed[0]
        logger.warning("the build is finished, but Prefect could not be told: %s", failed[0])


def _wait(thread: threading.Thread, work: Handover, alive: Callable[[], bool]) -> None:
    """Waits for the end of the flow; where its server is gone or takes no news, for the end of the work alone."""
    over: float | None = None
    while thread.is_alive():
        thread.join(LOOK_SECONDS)
        if work.done.is_set():
            over = over or time.monotonic()
            if time.monotonic() - over > LINGER_SECONDS:
                logger.warning("Prefect did not take the news of the build's end within %g s", LINGER_SECONDS)
                return
        if not work.under_way and not alive():
            return
