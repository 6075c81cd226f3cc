"""Where a model's files are found, what names their content, and what is said when they are not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.config import ModelRef, UserError
from pipeline.models import resolve
from pipeline.models.resolve import Model

HUB = ModelRef(repo="somebody/some-model", revision="0123abcd", license="MIT")


def folder(path: Path, **files: bytes) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("__", ".")).write_bytes(content)
    return path


def test_a_shipped_folder_lies_in_the_package() -> None:
    model = Model(ModelRef(repo="package:profiles", license="Apache-2.0"))
    assert model.folder() == Path(pipeline.__file__).parent / "profiles"
    assert len(model.fingerprint()) == 64


def test_a_missing_shipped_folder_is_named_with_its_remedy() -> None:
    model = Model(ModelRef(repo="package:tiny/weights/unheard-of", license="Apache-2.0"))
    for ask in (model.folder, model.fingerprint):
        with pytest.raises(UserError, match=r"tiny/weights/unheard-of.*train"):
            ask()


def test_a_fetched_model_lies_in_the_models_root_or_in_the_user_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTDIFF_MODELS", str(tmp_path / "mine"))
    ref, root = ModelRef(repo="fetched:blazepose", license="Apache-2.0"), tmp_path / "root"
    root.mkdir()
    for model in (Model(ref), Model(ref, str(root))):
        for ask in (model.folder, model.fingerprint):
            with pytest.raises(
                UserError, match=r"fetched:blazepose: not in .*mine; run `spotdiff models fetch photos`"
            ):
                ask()
    mine = folder(tmp_path / "mine" / "blazepose", one__tflite=b"one")
    assert Model(ref).folder() == Model(ref, str(root)).folder() == mine
    stand_in = folder(root / "blazepose", one__tflite=b"two")
    assert Model(ref, str(root)).folder() == stand_in
    assert Model(ref, str(root)).fingerprint() != Model(ref).fingerprint()


def test_without_a_word_fetched_models_are_kept_in_the_user_s_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPOTDIFF_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert resolve.models_folder() == Path("/somewhere/spotdiff10k/models")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert resolve.models_folder() == Path.home() / ".cache" / "spotdiff10k" / "models"


def test_a_stand_in_goes_before_the_hub(tmp_path: Path) -> None:
    there = folder(tmp_path / "somebody" / "some-model" / "unet", config__json=b"{}")
    model = Model(HUB.model_copy(update={"subfolder": "unet"}), str(tmp_path))
    assert model.folder("*.json") == there
    assert model.fingerprint() != HUB.revision  # its content counts, not what it stands in for


def test_the_hub_s_revision_is_the_fingerprint() -> None:
    assert Model(HUB).fingerprint() == "0123abcd"
    with pytest.raises(UserError, match=r"somebody/some-model: no revision"):
        Model(HUB.model_copy(update={"revision": None})).fingerprint()


def test_the_fingerprint_is_the_content_s(tmp_path: Path) -> None:
    def fingerprint(name: str) -> str:
        return Model(ModelRef(repo=f"a/{name}", license="MIT"), str(tmp_path)).fingerprint()

    one = folder(tmp_path / "a" / "one", config__json=b"{}", model__safetensors=b"weights", README__md=b"hello")
    shutil.copytree(one, tmp_path / "a" / "copy")
    (tmp_path / "a" / "copy" / "README.md").write_bytes(b"other words")
    folder(tmp_path / "a" / "other", config__json=b"{}", model__safetensors=b"weighty")
    folder(tmp_path / "a" / "renamed", config__json=b"{}", model2__safetensors=b"weights")
    assert fingerprint("one") == fingerprint("copy")
    assert len({fingerprint(name) for name in ("one", "other", "renamed")}) == 3


def test_large_files_are_known_by_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "_LARGE", 1000)

    def fingerprint(name: str, content: bytes) -> str:
        folder(tmp_path / "a" / name, model__safetensors=content)
        return Model(ModelRef(repo=f"a/{name}", license="MIT"), str(tmp_path)).fingerprint()

    content = bytes(range(256)) * 8000
    last, size = content[:-1] + b"\0", content + b"\0"
    assert fingerprint("one", content) == fingerprint("two", content)
    assert len({fingerprint(str(n), c) for n, c in enumerate((content, last, size))}) == 3


def test_an_unknown_models_root_is_the_user_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--models-root .*nowhere: no such folder"):
        Model(HUB, str(tmp_path / "nowhere")).fingerprint()


def offline(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Runs code without network and with a hub cache of its own (the hub's client reads these at import)."""
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


ASK = """
from pipeline.config import ModelRef, UserError
from pipeline.models.resolve import Model
try:
    print(Model(ModelRef(repo="somebody/some-model", revision="%s", license="MIT"), %r).folder("*.json"))
except UserError as error:
    print("UserError:", error)
"""


def test_without_network_a_missing_repo_is_named_with_its_remedy(tmp_path: Path) -> None:
    done = offline(ASK % ("main", str(tmp_path)), tmp_path / "home")
    assert done.stdout.startswith("UserError: model somebody/some-model (revision main): not on this machine")
    assert f"--models-root {tmp_path} as somebody/some-model" in done.stdout
    assert "HF_HUB_OFFLINE" in done.stdout
    assert done.stdout.count("\n") == 1


def test_the_hub_s_cache_serves_without_network(tmp_path: Path) -> None:
    revision = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub" / "models--somebody--some-model" / "snapshots" / revision
    folder(snapshot, config__json=b"{}")
    done = offline(ASK % (revision, None), tmp_path)
    assert Path(done.stdout.strip()) == snapshot, done.stderr


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_only_what_a_loader_reads_is_fetched(monkeypatch: pytest.MonkeyPatch, variant: str | None) -> None:
    from fnmatch import fnmatch

    import huggingface_hub

    def fetch(repo: str, revision: str, allow_patterns: list[str]) -> str:
        there = [
            "model_index.json", "unet/config.json", "tokenizer/merges.txt", "v1-5-pruned.safetensors",
            "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors",
            "text_encoder/model.safetensors", "text_encoder/model.fp16.safetensors",
        ]  # fmt: skip
        fetched.extend(name for name in there if any(fnmatch(name, pattern) for pattern in allow_patterns))
        return "/there"

    fetched: list[str] = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    Model(HUB.model_copy(update={"variant": variant})).pipeline_dir()
    dot = f".{variant}" if variant else ""
    assert fetched == [
        "model_index.json", "unet/config.json", "tokenizer/merges.txt",
        f"unet/diffusion_pytorch_model{dot}.safetensors", f"text_encoder/model{dot}.safetensors",
    ]  # fmt: skip


def test_a_hub_out_of_reach_is_told_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    import huggingface_hub
    from huggingface_hub.utils import logging as hub_logging

    def fetch(*_: Any, **__: Any) -> str:
        hub_logging.get_logger("huggingface_hub.utils._http").warning("Retrying in 2s [Retry 2/5].")
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(UserError, match="not to be had from the hub"):
        Model(HUB).pipeline_dir()
    assert "Retrying" not in "".join(capfd.readouterr())


def test_a_checkpoint_is_one_file(tmp_path: Path) -> None:
    folder(tmp_path / "somebody" / "some-model", sam__pth=b"weights")
    model = Model(HUB.model_copy(update={"checkpoint": "sam.pth"}), str(tmp_path))
    assert model.file().read_bytes() == b"weights"
    with pytest.raises(UserError, match=r"no file other\.pth"):
        Model(HUB.model_copy(update={"checkpoint": "other.pth"}), str(tmp_path)).file()
