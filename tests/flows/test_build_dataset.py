"""The flow's parameters are the build's options."""

from __future__ import annotations

import inspect
from pathlib import Path

import cloudpickle
import pytest
from toy_flow import open_toy
from toy_stages import write_pictures

from flows.build_dataset import BuildFailed, build_dataset, run_here
from flows.handover import Handover
from pipeline.config import BuildConfig
from pipeline.manifest.finish import finish, written


def test_parameters_and_defaults_are_those_of_the_build_config() -> None:
    parameters = {name: p.default for name, p in inspect.signature(build_dataset.fn).parameters.items()}
    fields = {name: field.default for name, field in BuildConfig.model_fields.items()}
    assert parameters.keys() == fields.keys() | {"workers", "engine", "ray_address", "report"}
    ours = {"sources", "manifest"}  # the examples, so that a deployment runs without parameters
    assert {name: parameters[name] for name in fields if name not in ours} == {
        name: default for name, default in fields.items() if name not in ours
    }
    assert (parameters["sources"], parameters["manifest"]) == (None, "manifests/v1.parquet")


def test_a_wrong_parameter_is_the_user_s_mistake() -> None:
    state = build_dataset.fn(sources=["."], max_failure_rate=2)
    assert state.is_failed()
    assert state.message == "build: max_failure_rate: Input should be less than or equal to 1 (got '2')"


def test_scheduling_needs_a_flow_run(tmp_path: Path) -> None:
    sources = write_pictures(tmp_path / "in", 1)
    with pytest.raises(AssertionError, match="build_manifest"):
        run_here(Handover(open_toy(str(sources), str(tmp_path / "m.parquet"), str(tmp_path / "work"))), 1)


@pytest.mark.usefixtures("server")
def test_a_build_with_a_problem_raises_it_and_keeps_what_is_good(tmp_path: Path) -> None:
    from prefect import flow

    sources = write_pictures(tmp_path / "in", 4)
    (tmp_path / "broken").touch()
    failing = {"fails": 2, "broken": str(tmp_path / "broken")}
    build = open_toy(str(sources), str(tmp_path / "m.parquet"), str(tmp_path / "work"), subjects=failing)
    with pytest.raises(BuildFailed, match="rows of stage subjects failed, more than --max-failure-rate"):
        flow(name="failing")(lambda: run_here(Handover(build), 2))()
    found = build.scan()
    assert build.complete(found)
    assert written(build, found)
    assert finish(build, found).rows > 0


def test_the_flow_travels_to_ray_s_workers() -> None:
    """Prefect hands the function to each task's process; what it refers to by value must pickle."""
    assert cloudpickle.dumps(build_dataset.fn)
