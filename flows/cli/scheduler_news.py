"""What a Prefect server says of the runs of a build: for ``spotdiff status``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipeline.config import BuildConfig

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

QUIET = timedelta(seconds=90)
"""A pending run is said to be stuck after so long, and a worker to be dead that has not been heard of for so long."""
_LOOKED_AT = 50


def runs_of(config: BuildConfig) -> list[str]:
    """A line for each flow run of a build that is not over, the latest first.

    Empty where no server is configured (PREFECT_API_URL); one line where it does not answer.
    """
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return []
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterState
    from prefect.client.schemas.filters import FlowRunFilterStateType as States
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.exceptions import PrefectHTTPStatusError

    unfinished = [StateType.PENDING, StateType.RUNNING, StateType.SCHEDULED, StateType.CRASHED]
    try:
        with get_client(sync_client=True, httpx_settings={"timeout": 10}) as client:
            runs = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=["build-dataset"])),
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=States(any_=unfinished))),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=_LOOKED_AT,
            )
            return [line for run in runs if _builds(run, config) for line in _told(client, run)]
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        return [f"Prefect at {url} was asked and did not answer: {' '.join(str(error).split())[:200]}"]


def _builds(run: FlowRun, config: BuildConfig) -> bool:
    told: dict[str, Any] = dict(run.parameters)
    fields = BuildConfig.model_fields
    return all((told.get(name) or fields[name].default) == getattr(config, name) for name in ("manifest", "work"))


def _told(client: SyncPrefectClient, run: FlowRun) -> Iterator[str]:
    state = run.state
    if state is None:
        return
    since = datetime.now(UTC) - state.timestamp
    name, at = f"flow run {run.name} ({run.id})", (state.name or state.type.value).lower()
    if state.is_running():
        yield f"{name}: running for {_clock(since)}"
    elif state.is_crashed():
        yield f"{name}: crashed; `prefect flow-run retry {run.id}` goes on from what is there"
    elif since < QUIET:
        yield f"{name}: {at}"
    elif not (pool := run.work_pool_name):
        yield f"{name}: {at} for {_clock(since)}"
    elif not _alive(client, pool):
        remedy = f"start one (`prefect worker start --pool {pool}`)"
        if state.is_pending():  # no worker takes it up again by itself
            remedy += f", then `prefect flow-run cancel {run.id}` and run the deployment again"
        yield f"{name}: {at} for {_clock(since)}, and no worker of pool {pool} is alive; {remedy}"
    elif state.is_pending():
        yield (
            f"{name}: pending for {_clock(since)}: the worker that took it may be gone; "
            f"`prefect flow-run cancel {run.id}`, then run the deployment again"
        )
    else:
        yield f"{name}: waits in pool {pool} for {_clock(since)}: its workers are busy, or its limit is reached"


def _alive(client: SyncPrefectClient, pool: str) -> bool:
    """Whether a worker of the pool was heard of lately."""
    answer = client._client.post(f"/work_pools/{pool}/workers/filter", json={})
    answer.raise_for_status()
    heard = [worker.get("last_heartbeat_time") for worker in answer.json()]
    return any(time and datetime.now(UTC) - datetime.fromisoformat(time) < QUIET for time in heard)


def _clock(span: timedelta) -> str:
    return (
        f"{round(span.total_seconds())} s" if span < timedelta(minutes=3) else f"{round(span.total_seconds() / 60)} min"
    )
