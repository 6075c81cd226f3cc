"""What the tests of the data plane share. Its place makes ``toy_stages`` importable from the folders below."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from shared_inputs import SHARED

settings.register_profile("pipeline", deadline=None, max_examples=60)  # times vary widely on shared machines
settings.load_profile("pipeline")

CASES = SHARED / "cases"


@pytest.fixture(scope="session")
def cases() -> Path:
    """Small inputs that once went wrong; they lie beside some checkouts."""
    if not CASES.is_dir():
        pytest.skip(f"no cases at {CASES}")
    return CASES


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks S3 on loopback; gives its address."""
    log = tmp_path_factory.mktemp("s3") / "log"
    # port 0: the system picks a free one, and the server says which
    command = [sys.executable, "-c", _SERVER]
    with open(log, "wb") as sink, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        assert port, log.read_text()
        yield f"http://127.0.0.1:{port}"
        server.terminate()


_SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
import threading
threading.Event().wait()
"""


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty bucket on :func:`s3_server`; the usual environment variables point there."""
    import boto3

    from pipeline import object_store

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{time.time_ns()}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    object_store._patient_class().clear_instance_cache()
    yield f"s3://{bucket}"
    object_store._patient_class().clear_instance_cache()
