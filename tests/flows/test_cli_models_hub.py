"""``spotdiff models fetch | verify | lock`` against a local server in place of the hub."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import run_command
from hub_server import Hub, serving

from pipeline.config import load_profile

BASE, OTHER = "lab/base", "lab/weights"
COMMIT = "1" * 40
WEIGHTS = bytes(range(256)) * 400


class Bomb:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


FILES = {
    BASE: {
        "model_index.json": b"{}",
        "unet/config.json": b'{"a": 1}',
        "unet/diffusion_pytorch_model.fp16.safetensors": WEIGHTS,
        "unet/diffusion_pytorch_model.bin": b"not wanted",
        "safety_checker/model.fp16.safetensors": b"not wanted either",
        "tokenizer/merges.txt": b"a b",
    },
    OTHER: {
        "config.json": b"{}",
        "model.safetensors": WEIGHTS[::-1],
        "body.pth": pickle.dumps(Bomb()) + b"x" * 20_000,
    },
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub({repo: dict(files) for repo, files in FILES.items()}, dict.fromkeys(FILES, COMMIT))) as running:
        yield running


@pytest.fixture(autouse=True)
def places(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("SPOTDIFF_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def profile(tmp_path: Path, hub: Hub) -> Path:
    """Two repos of the hub, one of them without a commit; and a checkpoint from another server."""
    path = tmp_path / "mine.toml"
    path.write_text(
        f"""
        extends = "tiny"
        name = "mine"
        [models]
        base = {{ repo = "{BASE}", revision = "{COMMIT}", variant = "fp16", license = "MIT" }}
        clip = {{ repo = "{OTHER}", license = "MIT" }}
        pose = {{ repo = "lab/else", checkpoint = "body.pth", license = "MIT", kind = "openpose" }}
        """
    )
    content = FILES[OTHER]["body.pth"]
    write_lock(
        path, {"pose": locked("lab/else", None, {"body.pth": content}, f"{hub.url}/{OTHER}/resolve/main/body.pth")}
    )
    return path


def locked(repo: str, revision: str | None, files: dict[str, bytes], url: str | None = None) -> dict[str, Any]:
    pins = {path: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in files.items()}
    given = {"repo": repo, "revision": revision, "url": url, "files": pins}
    return {name: value for name, value in given.items() if value is not None}


def write_lock(profile: Path, entries: dict[str, Any]) -> None:
    path = profile.with_suffix(".lock.json")
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **entries}))


def models(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_command("spotdiff", "models", *arguments)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
    return line


def test_fetch_writes_hub_layout_for_a_machine_without_network(tmp_path: Path, profile: Path, hub: Hub) -> None:
    out = tmp_path / "stick"
    done = models("fetch", profile, "--out", out)
    assert done.returncode == 0, done.stderr
    here = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file() and ".cache" not in p.parts}
    assert here == {
        *(f"{BASE}/{path}" for path in FILES[BASE] if not path.endswith(".bin") and "safety" not in path),
        f"{OTHER}/config.json",
        f"{OTHER}/model.safetensors",
        "lab/else/body.pth",
    }
    assert (out / BASE / "unet/diffusion_pytorch_model.fp16.safetensors").read_bytes() == WEIGHTS
    assert f"lab/else/body.pth: fetched, {len(FILES[OTHER]['body.pth'])} bytes, sha256 checked" in done.stdout
    assert f"{OTHER}/config.json: fetched, 2 bytes, not pinned" in done.stdout
    assert f"Use them with --models-root {out}" in done.stdout
    again = models("fetch", profile, "--out", out)
    assert again.stdout.count(": there, ") == len(here)
    checked = models("verify", profile, "--models-root", out)
    assert checked.returncode == 0
    assert "ok          lab/else/body.pth\n" in checked.stdout
    assert f"not pinned  {BASE}/model_index.json\n" in checked.stdout
    assert f"`spotdiff models lock {profile}`" in checked.stdout
    assert not list(tmp_path.rglob("unpickled")) and not Path("unpickled").exists()


def test_a_broken_off_download_goes_on(tmp_path: Path, profile: Path, hub: Hub) -> None:
    """Files of more than 10 MB, the library's chunk: what stands on the disk when the connection breaks."""
    name = "unet/diffusion_pytorch_model.fp16.safetensors"
    hub.repos[BASE][name] = hub.repos[OTHER]["body.pth"] = large = WEIGHTS * 120
    address = f"{hub.url}/{OTHER}/resolve/main/body.pth"
    write_lock(profile, {"pose": locked("lab/else", None, {"body.pth": large}, address)})
    hub.cut[name] = hub.cut["body.pth"] = 11_000_000
    done = models("fetch", profile, "--out", tmp_path / "stick")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "stick" / BASE / name).read_bytes() == large
    assert (tmp_path / "stick/lab/else/body.pth").read_bytes() == large
    begun = {path: int(given.removeprefix("bytes=").rstrip("-")) for path, given in hub.ranges}
    assert 0 < begun[name] <= 11_000_000
    assert 0 < begun["body.pth"] <= 11_000_000


def test_a_killed_download_goes_on_at_the_next_call(tmp_path: Path, profile: Path, hub: Hub) -> None:
    part = tmp_path / "stick/lab/else/body.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(FILES[OTHER]["body.pth"][:7_000])
    assert models("fetch", profile, "--out", tmp_path / "stick").returncode == 0
    assert ("body.pth", "bytes=7000-") in hub.ranges
    assert not part.exists()


def test_another_file_than_the_pinned_one_is_removed_and_named(tmp_path: Path, profile: Path, hub: Hub) -> None:
    good = FILES[OTHER]["body.pth"]
    hub.repos[OTHER]["body.pth"] = good[:-1] + b"y"
    done = models("fetch", profile, "--out", tmp_path / "stick")
    assert done.returncode == 1
    line = one_line(done)
    assert "lab/else (no revision): body.pth: sha256 " in line
    assert hashlib.sha256(good).hexdigest() in line
    assert not (tmp_path / "stick/lab/else/body.pth").exists()


def test_the_hub_s_own_word_against_the_lock_s(tmp_path: Path, profile: Path, hub: Hub) -> None:
    name = "unet/diffusion_pytorch_model.fp16.safetensors"
    write_lock(profile, {"base": locked(BASE, COMMIT, {name: WEIGHTS[1:] + b"!"})})
    for command in (["fetch", profile, "--out", tmp_path / "stick"], ["lock", profile]):
        done = models(*command)
        assert done.returncode == 1
        assert f"{name}: the hub says sha256 {hashlib.sha256(WEIGHTS).hexdigest()}, the lock " in one_line(done)
    assert not list((tmp_path / "stick").rglob("*.safetensors"))


def test_verify_names_what_is_cut_changed_or_missing(tmp_path: Path, profile: Path, hub: Hub) -> None:
    out = tmp_path / "stick"
    assert models("lock", profile).returncode == 0
    assert models("fetch", profile, "--out", out).returncode == 0
    unet = out / BASE / "unet/diffusion_pytorch_model.fp16.safetensors"
    unet.write_bytes(WEIGHTS[:-10])
    (out / OTHER / "config.json").write_bytes(b"[]")
    (out / BASE / "tokenizer/merges.txt").unlink()
    done = models("verify", profile, "--models-root", out)
    assert done.returncode == 1
    said = done.stdout.splitlines()
    assert f"wrong       {BASE}/unet/{unet.name}: {len(WEIGHTS) - 10} bytes, not {len(WEIGHTS)}" in said
    assert any(line.startswith(f"wrong       {OTHER}/config.json: sha256 ") for line in said)
    assert f"missing     {BASE}/tokenizer/merges.txt" in said
    assert one_line(done) == f"Get what is missing or changed with `spotdiff models fetch {profile}`"
    assert models("fetch", profile, "--out", out).returncode == 0
    assert models("verify", profile, "--models-root", out).returncode == 0


def test_lock_pins_everything_and_the_profile_takes_it_from_there(tmp_path: Path, profile: Path, hub: Hub) -> None:
    done = models("lock", profile)
    assert done.returncode == 0, done.stderr
    assert f"clip: {OTHER} is at {COMMIT}, and pinned there" in done.stdout
    loaded = load_profile(str(profile)).models
    assert loaded.clip.revision == COMMIT
    assert loaded.base.files["model_index.json"].sha256 == hashlib.sha256(b"{}").hexdigest()
    assert loaded.base.files["unet/diffusion_pytorch_model.fp16.safetensors"].bytes == len(WEIGHTS)
    assert loaded.pose.url
    assert loaded.sam == load_profile("tiny").models.sam
    assert models("fetch", profile).returncode == 0  # into the hub's own cache
    checked = models("verify", profile)
    assert checked.returncode == 0
    assert "not pinned" not in checked.stdout


def test_without_network_one_line_says_how_to_do_without(
    tmp_path: Path, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = models("fetch", profile)
    assert done.returncode == 1
    assert "run `spotdiff models fetch PROFILE --out DIR`" in one_line(done)


def test_a_repo_without_the_variant_is_named(profile: Path) -> None:
    profile.write_text(profile.read_text().replace('variant = "fp16"', 'variant = "bf16"'))
    done = models("fetch", profile)
    assert done.returncode == 1
    assert f"model {BASE} @ {COMMIT[:12]}: no file */*.bf16.safetensors there" in one_line(done)


def test_a_lock_of_another_commit_is_refused(profile: Path) -> None:
    write_lock(profile, {"base": locked(BASE, "2" * 40, {})})
    done = models("list", "--profile", profile)
    assert done.returncode == 1
    assert "mine.lock.json: base: is of revision 222" in one_line(done)
