"""Loopback stays off every proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.loopback import spare_loopback
from flows.server import answers, reachable

DEAD = "http://127.0.0.1:9"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
CLIENT = """
import os
from flows.loopback import spare_loopback
spare_loopback(os.environ)
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    print(client.api_healthcheck())
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "a.org, localhost"}, "a.org,localhost,127.0.0.1,::1"),
        ({"no_proxy": "a.org"}, "a.org,127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "*"}, "*,127.0.0.1,localhost,::1"),
    ],
)
def test_what_the_user_excluded_stays_excluded(before: dict[str, str], after: str) -> None:
    spare_loopback(before)
    assert before == {"NO_PROXY": after, "no_proxy": after}
    spare_loopback(before)
    assert before == {"NO_PROXY": after, "no_proxy": after}


def test_each_of_two_lists_keeps_its_own() -> None:
    environment = {"NO_PROXY": "a.org", "no_proxy": "b.org"}
    spare_loopback(environment)
    assert environment["NO_PROXY"].startswith("a.org,127.0.0.1")
    assert environment["no_proxy"].startswith("b.org,127.0.0.1")


def test_probe_and_client_reach_our_server_behind_a_dead_proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, DEAD)
    assert answers(server)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", CLIENT], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr
    spare_loopback(os.environ)
    assert reachable(server)
