"""What ``spotdiff status`` says of flow runs: above all of those that nobody will ever run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Completed, Crashed, Pending, Running, State

from flows.cli import scheduler_news
from flows.cli.scheduler_news import runs_of
from pipeline.config import BuildConfig, build_config

POOL = "news"


@pytest.fixture
def config() -> BuildConfig:
    """Of a manifest that no other run is about."""
    return build_config(sources=(), manifest=f"/tmp/{time.time_ns()}.parquet", work="/tmp/work")


@pytest.fixture
def client(server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as connected:
        yield connected


@pytest.fixture
def run(client: SyncPrefectClient, config: BuildConfig) -> UUID:
    """A run of a deployment of the flow build-dataset."""
    if not any(pool.name == POOL for pool in client.read_work_pools()):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    flow = client.create_flow_from_name("build-dataset")
    deployment = client.create_deployment(flow_id=flow, name=f"news-{time.time_ns()}", work_pool_name=POOL)
    parameters = {"manifest": config.manifest, "work": config.work}
    return client.create_flow_run_from_deployment(deployment, parameters=parameters).id


def told(client: SyncPrefectClient, run: UUID, state: State, config: BuildConfig) -> list[str]:
    client.set_flow_run_state(run, state, force=True)
    return runs_of(config)


def beat(client: SyncPrefectClient) -> None:
    """A worker of the pool is heard of."""
    client._client.post(f"/work_pools/{POOL}/workers/heartbeat", json={"name": "one"}).raise_for_status()


def test_each_state_is_said_with_what_to_do(
    client: SyncPrefectClient, run: UUID, config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fresh,) = told(client, run, Pending(), config)
    assert fresh.endswith(f"({run}): pending")

    monkeypatch.setattr(scheduler_news, "QUIET", timedelta(seconds=1))
    time.sleep(1.1)
    (line,) = runs_of(config)
    assert f"no worker of pool {POOL} is alive; start one (`prefect worker start --pool {POOL}`)" in line
    assert f"`prefect flow-run cancel {run}`" in line

    beat(client)
    (line,) = runs_of(config)
    assert "the worker that took it may be gone" in line

    (line,) = told(client, run, Running(), config)
    assert "running for" in line
    (line,) = told(client, run, Crashed(), config)
    assert f"crashed; `prefect flow-run retry {run}`" in line
    assert told(client, run, Completed(), config) == []


def test_runs_of_other_manifests_are_not_told_of(run: UUID) -> None:
    assert runs_of(build_config(sources=(), manifest="/tmp/other.parquet", work="/tmp/work")) == []


def test_without_a_server_nothing_is_said(config: BuildConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert runs_of(config) == []
