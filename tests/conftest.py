"""What all tests share. Its place makes ``standins`` importable."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a build: many small calls are erratic with more

import standins as made
from shared_inputs import SHARED

import pipeline
from pipeline.models.fetch import FETCHABLE, unpack
from pipeline.models.resolve import models_folder


@pytest.fixture(scope="session")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random-weight models of the shipped shapes, in hub layout; for ``--models-root``."""
    return made.write_standins(tmp_path_factory.mktemp("standins"))


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models roots with small random-weight models of the profiles ``sd15`` and ``sdxl``, see ``hub_layout``."""
    from hub_layout import write_hub

    return {name: write_hub(tmp_path_factory.mktemp(name), name) for name in ("sd15", "sdxl")}


@pytest.fixture(scope="session")
def weights() -> Path:
    """The shipped weights of the miniature world's models."""
    folder = Path(pipeline.__file__).parent / "tiny" / "weights"
    if not (folder / "inpainting").is_dir():
        pytest.skip("the package has no weights yet: python -m tinyworld.train")
    return folder


@pytest.fixture(scope="session")
def photos() -> Path:
    """Photographs of people, with their rights."""
    folder = SHARED / "photos"
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder}")
    return folder


@pytest.fixture(scope="session")
def blazepose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models root with BlazePose: out of the wheel that MEDIAPIPE_WHEEL names, or what this machine has fetched."""
    pytest.importorskip("ai_edge_litert", reason="the extra photos is not installed")
    model, root = FETCHABLE["photos"], models_folder()
    wheel = os.environ.get("MEDIAPIPE_WHEEL")
    if wheel:
        root = tmp_path_factory.mktemp("models")
        unpack(model, Path(wheel), root / model.folder)
    if not model.is_in(root / model.folder):
        pytest.skip(f"no BlazePose in {root}: spotdiff models fetch photos, or name the wheel in MEDIAPIPE_WHEEL")
    return root


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


@pytest.fixture(scope="session")
def s3_settings(s3_server: str) -> dict[str, str]:
    """The usual environment variables, pointing to :func:`s3_server`."""
    return {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture
def s3(s3_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty bucket on :func:`s3_server`; the usual environment variables point there."""
    import boto3

    from pipeline import object_store

    for name, value in s3_settings.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{time.time_ns()}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    object_store._patient_class().clear_instance_cache()
    yield f"s3://{bucket}"
    object_store._patient_class().clear_instance_cache()
