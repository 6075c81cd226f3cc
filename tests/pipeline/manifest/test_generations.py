"""Replacing a manifest: wherever a write is killed, and at each of its steps, readers see the old or the new, whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_stages import build, recipe, write_pictures

from pipeline import hidden_names, store
from pipeline.config import UserError, manifest_stem
from pipeline.manifest.digest import RowsDigest
from pipeline.manifest.parts import PartsWriter
from pipeline.manifest.places import old_rejected_path
from pipeline.manifest.read import Manifest
from pipeline.manifest.rejected import RejectedWriter, sha256_of
from pipeline.manifest.schema import FOOTER
from pipeline.manifest.staged import Staged
from pipeline.manifest.validate.manifest import validate

SMALL, LARGE = 12_000, 500_000_000


class Killed(BaseException):
    """Stands for SIGKILL: nothing is tidied up behind it."""


@pytest.fixture(scope="module")
def fragments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources and fragments of two builds that differ."""
    folder = tmp_path_factory.mktemp("fragments")
    write_pictures(folder / "in", 5)
    for name, rejects in (("old", 5), ("new", 3)):
        stages = recipe(subjects={"count": 2, "rejects": 4}, variations={"count": 4, "rejects": rejects})
        build(folder / "in", folder / name / "v1.parquet", folder / "work", stages)
    return folder


def _build(fragments: Path, path: Path | str, rejects: int, max_part_bytes: int) -> None:
    """Writes the old (5) or the new (3) manifest there."""
    made = Manifest(str(fragments / {5: "old", 3: "new"}[rejects] / "v1.parquet"))
    footer = {name: value for name, value in made.footer.items() if name not in ("total", "rejected")}
    writer = PartsWriter(str(path), footer, max_part_bytes)
    rejected = RejectedWriter(str(path), writer.generation)
    try:
        for row in pq.read_table(made.paths[0]).to_pylist():
            writer.add(row)
        for row in pq.read_table(made.rejected_path).to_pylist():
            rejected.add_values(row)
        writer.close({"rejected": rejected.close()})
    except BaseException:
        writer.abort()
        rejected.abort()
        raise


def _seen(path: str) -> str:
    """The digest of what a reader sees, proved: all rows, and the list of misses that belongs to them."""
    manifest = Manifest(path)
    digest = RowsDigest()
    for batch in manifest.batches():
        for row in batch.to_pylist():
            digest.add(row)
    said = manifest.footers[-1]
    assert digest.value == manifest.digest == said["total"]["digest"]
    with store.open_input(manifest.rejected_path) as file:
        assert sha256_of(file) == said["rejected"]["sha256"]
    return digest.value


def _killed(write: Callable[[], None], path: str, at: int) -> tuple[list[str], bool]:
    """Kills a write before its step number ``at``; gives what a reader saw before each, and whether it came so far."""
    seen: list[str] = []

    def watched(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            seen.append(_seen(path))
            if len(seen) > at:
                raise Killed
            return step(*arguments)

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Staged, "place", watched(Staged.place))
        patch.setattr(store, "remove", watched(store.remove))
        patch.setattr(Staged, "discard", lambda staged: staged.file.close())  # the file stays
        patch.setattr(
            hidden_names, "writer", lambda pid: f"{hidden_names.machine()}-999999999-1"
        )  # of a process that is no more
        try:
            write()
        except Killed:
            return seen, True
    return seen, False


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        (SMALL, SMALL, "disk"),
        (LARGE, SMALL, "disk"),
        (SMALL, LARGE, "disk"),
        (LARGE, LARGE, "disk"),
        (SMALL, SMALL, "s3"),
    ],
)
def test_a_reader_sees_the_old_or_the_new_at_every_step(
    fragments: Path, tmp_path: Path, before: int, after: int, where: str, request: pytest.FixtureRequest
) -> None:
    path = f"{request.getfixturevalue('s3') if where == 's3' else tmp_path}/out/v1.parquet"
    old, new = (_seen(str(fragments / name / "v1.parquet")) for name in ("old", "new"))
    killed, steps = True, 0
    while killed:
        _build(fragments, path, 5, before)
        assert _seen(path) == old
        seen, killed = _killed(lambda: _build(fragments, path, 3, after), path, steps)
        assert set(seen) <= {old, new}
        assert seen == sorted(seen, key=lambda digest: digest == new), "back to the old one"
        assert _seen(path) in {old, new}
        steps += 2 if where == "disk" else 6
    assert steps >= 4
    assert _seen(path) == new
    assert validate(path) == []
    assert _files(path) == {*Manifest(path).paths, Manifest(path).rejected_path}, "left by killed writes"


def _files(path: str) -> set[str]:
    """All files there are at and beside the manifest, hidden ones too."""
    fs, folder = store.filesystem(path.rpartition("/")[0])
    protocol = "" if store.is_local(path) else "s3://"
    return {f"{protocol}{name}" for name in fs.find(folder)}


def test_a_reader_is_told_when_the_manifest_changes_under_it(fragments: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "v1.parquet")
    for first, second in ((SMALL, LARGE), (LARGE, LARGE)):
        _build(fragments, path, 5, first)
        opened = Manifest(path)
        _build(fragments, path, 3, second)
        with pytest.raises(UserError, match="was replaced while it was read; start again"):
            list(opened.batches())


def test_an_object_that_is_replaced_while_its_footer_is_read_is_read_anew(
    fragments: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opening, replacing = f"{s3}/out/v1.parquet", store.open_input, [True]
    _build(fragments, path, 5, LARGE)

    def replaced_behind(url: str) -> Any:
        file = opening(url)
        if url == path and replacing:
            replacing.clear()
            _build(fragments, path, 3, LARGE)
        return file

    monkeypatch.setattr(store, "open_input", replaced_behind)
    assert Manifest(path).digest == Manifest(str(fragments / "new" / "v1.parquet")).digest
    assert not replacing


@pytest.mark.parametrize("after", [LARGE, SMALL], ids=["replaced", "removed"])
def test_an_object_that_changes_while_its_rows_are_read_is_told(fragments: Path, s3: str, after: int) -> None:
    path = f"{s3}/out/v1.parquet"
    _build(fragments, path, 5, LARGE)
    manifest = Manifest(path)

    def read() -> None:
        with manifest.open_part(0), store.open_input(path) as unread:
            _build(fragments, path, 3, after)
            unread.read()

    with pytest.raises(UserError, match="was replaced while it was read; start again"):
        read()


@pytest.fixture
def parts(fragments: Path, tmp_path: Path) -> Manifest:
    _build(fragments, tmp_path / "v1.parquet", 5, SMALL)
    return Manifest(str(tmp_path / "v1.parquet"))


def test_a_renamed_part(parts: Manifest) -> None:
    Path(parts.paths[1]).rename(Path(parts.paths[1]).with_name("part-00007" + parts.paths[1][-21:]))
    with pytest.raises(UserError, match="parts are missing or of different builds; build it again"):
        Manifest(parts.path)


def test_swapped_parts(parts: Manifest, tmp_path: Path) -> None:
    first, second = map(Path, parts.paths[:2])
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    with pytest.raises(UserError, match="parts are missing or of different builds"):
        Manifest(parts.path)


def test_a_foreign_file_over_a_folder_of_parts(parts: Manifest) -> None:
    pq.write_table(pa.table({"a": [1]}), parts.path)
    with pytest.raises(UserError, match="move one of them away"):
        Manifest(parts.path)


def test_manifests_of_before_there_were_generations(fragments: Path, tmp_path: Path) -> None:
    new = Manifest(str(fragments / "old" / "v1.parquet"))
    table = pq.read_table(new.path)
    footer = {k: v for k, v in new.footer.items() if k not in ("generation", "checksum", "rejected")}
    path = _write_old(table, footer, tmp_path)
    misses = old_rejected_path(path)
    Path(misses).write_bytes(Path(new.rejected_path).read_bytes())
    old = Manifest(path)
    assert (old.digest, old.rejected_path) == (new.digest, misses)
    assert validate(path) == []
    _build(fragments, path, 3, SMALL)
    assert Manifest(path).digest != new.digest
    assert _files(path) == {*Manifest(path).paths, Manifest(path).rejected_path}
    assert Manifest(path).paths[0].startswith(manifest_stem(path))


def _write_old(table: pa.Table, footer: dict[str, Any], folder: Path) -> str:
    metadata = {**(table.schema.metadata or {}), FOOTER: json.dumps(footer).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), folder / "v1.parquet")
    return str(folder / "v1.parquet")


def test_temporary_files_of_a_living_writer_stay(fragments: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "v1.parquet")
    other = RejectedWriter(path, "00000100aaaa")
    _build(fragments, path, 5, LARGE)
    hidden = [file for file in tmp_path.iterdir() if file.name.startswith(".")]
    assert len(hidden) == 1
    other.abort()
    assert not hidden[0].exists()


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets")


@pytest.mark.parametrize(("size", "folder"), [(LARGE, "out"), (SMALL, "out"), (SMALL, "out/v1")])
def test_datasets_loads_the_folder(fragments: Path, tmp_path: Path, datasets: Any, size: int, folder: str) -> None:
    path = tmp_path / "out" / "v1.parquet"
    _build(fragments, path, 5, size)
    manifest = Manifest(str(path))
    assert pq.read_metadata(manifest.rejected_path).num_rows > 0
    rows = datasets.load_dataset(str(tmp_path / folder), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(rows) == manifest.rows
    assert rows[0]["image"].size == (16, 16)
