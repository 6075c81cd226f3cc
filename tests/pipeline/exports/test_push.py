"""To the hub: nothing without being told to, and then the export's files and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import huggingface_hub
import pytest

from pipeline.config import UserError
from pipeline.exports.push import check_target, push

FILES = {"data/train.parquet": (7, "0" * 64)}


def test_a_dry_run_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = create_autospec(huggingface_hub.HfApi)
    monkeypatch.setattr(huggingface_hub, "HfApi", api)
    said = push(str(tmp_path), "lab/poses", FILES, really=False)
    assert said == "dry run: 2 files, 7 bytes would go to the dataset lab/poses (private if new); --yes sends them"
    assert not api.mock_calls


def test_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    api = create_autospec(huggingface_hub.HfApi)
    api.return_value.create_repo.side_effect = lambda repo, **more: calls.append((repo, more))
    api.return_value.upload_folder.side_effect = lambda **more: calls.append(("upload", more))
    monkeypatch.setattr(huggingface_hub, "HfApi", api)
    assert "sent to the dataset lab/poses" in push(str(tmp_path), "lab/poses", FILES, really=True)
    (repo, made), (_, sent) = calls
    assert (repo, made["repo_type"], made["private"], made["exist_ok"]) == ("lab/poses", "dataset", True, True)
    assert (sent["repo_id"], sent["repo_type"], sent["folder_path"]) == ("lab/poses", "dataset", str(tmp_path))
    assert sent["ignore_patterns"] == [".spotdiff-export/*"]


@pytest.mark.parametrize("repo", ["poses", "a/b/c", "/x", "lab/", "../x/y", "lab/..", ""])
def test_names_that_are_none(repo: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be owner/name"):
        check_target(repo, str(tmp_path))


def test_an_export_elsewhere_cannot_be_pushed() -> None:
    with pytest.raises(UserError, match="export to a local folder"):
        check_target("lab/poses", "s3://bucket/out")
