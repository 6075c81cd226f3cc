"""``spotdiff filter`` through its real entry point."""

from __future__ import annotations

from pathlib import Path

from commands import run_command
from toy_stages import build, recipe, write_pictures

from pipeline.manifest.read import Manifest


def test_filter(tmp_path: Path) -> None:
    build(write_pictures(tmp_path / "in", 2), tmp_path / "v1.parquet", tmp_path / "work", recipe())
    manifest = Manifest(str(tmp_path / "v1.parquet"))
    asked = ("spotdiff", "filter", "v1.parquet", "--out", "f.parquet", "--where")
    done = run_command(*asked, "attempt = 0", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"f.parquet: {manifest.rows} rows" in done.stdout
    assert manifest.digest in done.stdout
    assert run_command("spotdiff", "validate", "f.parquet", cwd=tmp_path).returncode == 0
    done = run_command(*asked, "attempt =", cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr.strip() == "--where 'attempt =': the end where a number or a text in quotes is due"
