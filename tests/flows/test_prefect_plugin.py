"""Bare deployment names; the whole way through Prefect's command is in test_deployment.py."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.prefect_plugin import expand_bare_names, full_name

ROOT = Path(__file__).parents[2]
CHECK = """
import prefect
from prefect.client.orchestration import PrefectClient
print(hasattr(PrefectClient.read_deployment_by_name, "takes_bare_names"))
"""
WITHOUT = """
import flows.prefect_plugin as plugin
plugin._setup_environment(ctx=None)
print(hasattr(plugin, "setup_environment"))
"""


@pytest.mark.parametrize(("name", "full"), [("a-b", "a-b/a-b"), ("a/b", "a/b"), ("a/b/c", "a/b/c")])
def test_only_bare_names_are_doubled(name: str, full: str) -> None:
    assert full_name(name) == full


def test_a_client_is_changed_once() -> None:
    class Client:
        async def read_deployment_by_name(self, name: str) -> str:
            return name

    expand_bare_names(Client)
    expand_bare_names(Client)
    assert asyncio.run(Client().read_deployment_by_name("x")) == "x/x"
    assert asyncio.run(Client().read_deployment_by_name(name="x/y")) == "x/y"


@pytest.mark.parametrize(("in_root", "changed"), [(True, "True"), (False, "False")])
def test_prefect_loads_it_in_the_repository_s_root_only(in_root: bool, changed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        cwd=ROOT if in_root else tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == changed
    assert done.stderr == ""


def test_a_prefect_without_the_method_is_left_alone(tmp_path: Path) -> None:
    """A stand-in for a Prefect that has the hook but another client, and for one that has neither."""
    package = tmp_path / "prefect"
    (package / "client" / "orchestration").mkdir(parents=True)
    for folder in (package, package / "client"):
        (folder / "__init__.py").touch()
    (package / "client" / "orchestration" / "__init__.py").write_text("class PrefectClient: ...\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for hook, there in ((None, "False"), ("def register_hook(function): return function\n", "True")):
        if hook:
            (package / "plugins.py").write_text(hook)
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == there
