"""What a Prefect server must know to run builds, as code: work pools, limits, deployments, and what ends dead runs.

Done again, it changes what has changed and adds nothing twice. Heartbeats come from ``prefect.yaml``, which sets
``PREFECT_FLOWS_HEARTBEAT_FREQUENCY`` for every run of a deployment.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from pipeline.config import UserError

POOLS = {"spotdiff": 1, "gpu-cluster": 2}
"""Work pools and how many builds each runs at a time, unless told otherwise."""
SILENT = timedelta(seconds=120)
"""A run that has sent heartbeats (every 30 s) and then none for so long is dead."""
PENDING = timedelta(minutes=10)
"""A run whose worker has taken it, and that has not begun after so long, has lost its worker."""
_ENDS = {f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Cancelling", "Crashed")}
_HEARTBEAT, _PENDING = "prefect.flow-run.heartbeat", "prefect.flow-run.Pending"


def deploy(folder: Path, limits: Mapping[str, int] = POOLS, silent: timedelta = SILENT) -> None:
    """Sets up the server that Prefect's settings name.

    Args:
        folder: With ``prefect.yaml`` and the flows; runs work there.
        limits: By work pool: how many builds it runs at a time.
        silent: See :data:`SILENT`.

    Raises:
        UserError: No ``prefect.yaml`` there, or Prefect refuses.
    """
    if not (folder / "prefect.yaml").is_file():
        raise UserError(f"{folder}: no prefect.yaml; name the project's folder with --folder")
    with get_client(sync_client=True) as client:
        for name, limit in limits.items():
            _pool(client, name, limit)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(f"prefect deploy: {said[-1] if said else done.returncode}")
    set_automations(silent)


def set_automations(silent: timedelta = SILENT, pending: timedelta = PENDING) -> None:
    """Makes the server's automations those of :func:`automations`."""
    for automation in automations(silent, pending):
        _automation(automation)


def automations(silent: timedelta = SILENT, pending: timedelta = PENDING) -> list[Automation]:
    """What ends runs whose process or worker is gone, so that they can be retried (``prefect flow-run retry ID``)."""
    return [
        _ending(
            name="spotdiff: runs without heartbeat have crashed",
            description="The process of a run that falls silent is dead, or its machine is.",
            after=_HEARTBEAT,
            expect={_HEARTBEAT, *_ENDS},
            within=silent,
            message=f"no heartbeat for {silent.total_seconds():g} s: its process is dead; "
            "retry the run, it goes on from the fragments that are there",
        ),
        _ending(
            name="spotdiff: runs that stay pending have lost their worker",
            description="A worker took the run and died before the run began.",
            after=_PENDING,
            expect={"prefect.flow-run.Running", _HEARTBEAT, *_ENDS},
            within=pending,
            message=f"pending for {pending.total_seconds():g} s: the worker that took it is gone; "
            "retry the run, another worker takes it",
        ),
    ]


def _ending(name: str, description: str, after: str, expect: set[str], within: timedelta, message: str) -> Automation:
    """Ends a run in which none of ``expect`` follows ``after`` in time."""
    return Automation(
        name=name,
        description=description,
        trigger=EventTrigger(
            after={after},
            expect=expect,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
    )


def _pool(client: SyncPrefectClient, name: str, limit: int) -> None:
    try:
        client.read_work_pool(name)
        client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process", concurrency_limit=limit))


def _automation(wanted: Automation) -> None:
    try:
        there: Any = Automation.read(name=wanted.name)  # typed as a coroutine, for callers that run in a loop
    except ValueError:
        wanted.create()
        return
    wanted.id = there.id
    wanted.update()
