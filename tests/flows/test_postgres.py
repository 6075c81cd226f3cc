"""Prefect on PostgreSQL, with a password and two workers; a machine dies in mid-run, and the server is restarted."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from postgres import Cluster, postgres, programs, until
from toy_flow import open_toy
from toy_stages import write_pictures

from flows.server import reachable
from pipeline.config import build_config
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.read import Manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SILENT_SECONDS = 65
DEPLOY = f"""
from datetime import timedelta
from pathlib import Path
from prefect import flow
from flows.deploy import deploy
for _ in range(2):  # nothing is there twice
    deploy(Path(), {{"spotdiff": 2, "gpu-cluster": 1}}, timedelta(seconds={SILENT_SECONDS}))
toy = flow.from_source(source=".", entrypoint="tests/flows/toy_flow.py:toy_build")
env = {{"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}
toy.deploy(name="toy-build", work_pool_name="spotdiff", print_next_steps=False, job_variables={{"env": env}})
"""
PENDING_SECONDS = 15
STUCK = f"""
from datetime import timedelta
from prefect.client.orchestration import get_client
from prefect.states import Pending
from flows.deploy import set_automations
set_automations(pending=timedelta(seconds={PENDING_SECONDS}))
with get_client(sync_client=True) as client:
    deployment = client.read_deployment_by_name("build-dataset/gpu-cluster")
    run = client.create_flow_run_from_deployment(deployment.id)
    client.set_flow_run_state(run.id, Pending(), force=True)
print(run.id)
"""
LOOK = """
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    for pool in client.read_work_pools(): print("pool", pool.name, pool.concurrency_limit)
    for one in client._client.post("/deployments/filter", json={}).json(): print("deployment", one["name"])
    for one in client._client.post("/automations/filter", json={}).json(): print("automation", one["name"])
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    bin_ = programs()
    if bin_ is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with postgres(bin_) as database:
        started = Cluster(database, tmp_path_factory.mktemp("cluster"))
        try:
            started.run("python", "-c", DEPLOY)
            yield started
        finally:
            started.stop()


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    write_pictures(tmp_path / "in", 4)
    return {
        "sources": str(tmp_path / "in"),
        "manifest": str(tmp_path / "out" / "toy.parquet"),
        "work": str(tmp_path / "work"),
    }


def start(cluster: Cluster, paths: dict[str, str], seconds: float) -> str:
    values = [f"{name}={value}" for name, value in {**paths, "seconds": seconds, "workers": 1}.items()]
    told = cluster.run(
        "prefect", "deployment", "run", "toy-build/toy-build", *(part for value in values for part in ("-p", value))
    )
    found = re.search(r"UUID: (\S+)", told)
    assert found, told
    return found[1]


def fragments(paths: dict[str, str]) -> int:
    run = build_config(sources=(), manifest=paths["manifest"], work=paths["work"]).run
    return len(list((Path(paths["work"]) / run / "variations").glob("*.parquet")))


def test_a_server_is_set_up_once_and_wants_a_password(cluster: Cluster) -> None:
    there = cluster.run("python", "-c", LOOK).splitlines()
    assert {"pool spotdiff 2", "pool gpu-cluster 1"} <= set(there)
    assert sorted(line for line in there if line.startswith("deployment")) == [
        "deployment build-dataset", "deployment gpu-cluster", "deployment toy-build",
    ]  # fmt: skip
    assert sorted(line for line in there if line.startswith("automation")) == [
        "automation spotdiff: runs that stay pending have lost their worker",
        "automation spotdiff: runs without heartbeat have crashed",
    ]
    assert reachable(cluster.url)
    wrong = {**cluster.environment, "PREFECT_API_AUTH_STRING": "admin:wrong"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "environment", wrong)
        with pytest.raises(AssertionError, match="401"):
            cluster.run("prefect", "work-pool", "ls")
        with pytest.raises(AssertionError, match=r"refuses \(401\); see to PREFECT_API_AUTH_STRING"):
            cluster.run("spotdiff", "deploy")


def test_a_machine_dies_and_the_server_restarts(cluster: Cluster, paths: dict[str, str]) -> None:
    calm = {name: f"{path}-calm" for name, path in paths.items()}
    Path(paths["sources"]).rename(calm["sources"])
    Path(paths["sources"]).symlink_to(calm["sources"])
    due = build_manifest(open_toy(paths["sources"], f"{calm['manifest']}.parquet", calm["work"])).digest

    workers = {name: cluster.worker(name) for name in ("one", "two")}
    run = start(cluster, paths, 0.4)
    until(lambda: fragments(paths) >= 1, 240, "the first fragment")
    (busy,) = [name for name, worker in workers.items() if psutil.Process(worker.pid).children(recursive=True)]
    machine = [psutil.Process(workers[busy].pid), *psutil.Process(workers[busy].pid).children(recursive=True)]
    for process in machine:  # no time for any of them to tell anybody
        process.send_signal(signal.SIGKILL)
    assert fragments(paths) < 4
    assert cluster.state(run)[0] == "RUNNING", "nobody knows yet"
    until(lambda: cluster.state(run)[0] != "RUNNING", SILENT_SECONDS + 120, "the automation that ends dead runs")
    kind, message = cluster.state(run)
    assert (kind, message.partition(":")[0]) == ("CRASHED", f"no heartbeat for {SILENT_SECONDS} s")
    finished = fragments(paths)

    cluster.run("prefect", "flow-run", "retry", run)
    until(lambda: fragments(paths) > finished, 240, "the other worker's first fragment")
    cluster.restart_server()
    until(lambda: cluster.state(run)[0] not in ("RUNNING", "PENDING", "SCHEDULED"), 240, "the end")
    assert cluster.state(run)[0] == "COMPLETED"
    assert Manifest(paths["manifest"]).digest == due


def test_a_failure_s_message_is_our_one_line(cluster: Cluster, tmp_path: Path) -> None:
    cluster.worker("three")
    told = cluster.run(
        "prefect", "deployment", "run", "build-dataset/build-dataset", "-p", 'sources=["/nowhere"]',
        "-p", f"manifest={tmp_path}/x.parquet",
    )  # fmt: skip
    found = re.search(r"UUID: (\S+)", told)
    assert found, told
    run = found[1]
    until(lambda: cluster.state(run)[0] not in ("RUNNING", "PENDING", "SCHEDULED"), 240, "the end")
    assert cluster.state(run) == ("FAILED", "sources: '/nowhere': no such file or folder")


def test_a_run_whose_worker_died_before_it_began_is_ended(cluster: Cluster) -> None:
    """The worker took it, which is to say: set it to pending. The last test, for it shortens the time."""
    run = cluster.run("python", "-c", STUCK).split()[-1]
    assert cluster.state(run)[0] == "PENDING", "nobody knows yet"
    until(lambda: cluster.state(run)[0] != "PENDING", PENDING_SECONDS + 120, "the automation that ends stuck runs")
    kind, message = cluster.state(run)
    assert (kind, message.partition(":")[0]) == ("CRASHED", f"pending for {PENDING_SECONDS} s")
