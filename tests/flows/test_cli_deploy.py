"""``spotdiff deploy``: mistakes are told in one line, before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.states import Failed

from flows.cli.deploy import run_deploy
from flows.deploy import PENDING, SILENT, automations
from flows.engines.scheduled import _may_pass
from pipeline.config import UserError
from pipeline.object_store import StoreUnavailable


@pytest.mark.parametrize("limit", ["gpu-cluster", "gpu-cluster=", "gpu-cluster=0", "=3", "gpu-cluster=two"])
def test_a_wrong_limit_is_named(limit: str) -> None:
    with pytest.raises(UserError, match=f"--limit {limit}: say POOL=N"):
        run_deploy(Path(), [limit])


def test_without_a_server_it_says_which_variable_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(UserError, match="PREFECT_API_URL"):
        run_deploy(Path(), [])


def test_the_automations_end_silent_and_stuck_runs() -> None:
    silent, stuck = automations()
    assert (silent.trigger.within, stuck.trigger.within) == (SILENT, PENDING)  # type: ignore[union-attr]
    for automation in (silent, stuck):
        (action,) = automation.actions
        assert action.state.value == "CRASHED"  # type: ignore[union-attr]
        assert "retry the run" in action.message  # type: ignore[union-attr,operator]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionResetError("by peer"), True),
        (StoreUnavailable("s3://b/k"), True),
        (OSError(116, "Stale file handle"), True),
        (OSError(28, "No space left on device"), False),
        (UserError("a mistake"), False),
        (RuntimeError("a fault"), False),
    ],
)
def test_tasks_are_tried_again_where_that_can_help(error: Exception, again: bool) -> None:
    assert _may_pass(None, None, Failed(data=error)) is again  # type: ignore[arg-type]
