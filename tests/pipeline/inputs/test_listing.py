"""The listing: what counts as a source, in which order, with which rights."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pipeline import store
from pipeline.config import UserError
from pipeline.inputs.listing import list_sources
from pipeline.records import Listed
from pipeline.runner import plan


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def _paths(*sources: str | Path, limit: int | None = None) -> list[str]:
    return [row.path for row in list_sources([str(source) for source in sources], limit)]


def test_a_folder_with_its_subfolders_sorted(tmp_path: Path) -> None:
    names = ["b.png", "a/z.JPG", "a/c.webp", "é.gif", "B.jpeg", "notes.txt", ".hidden.png", ".git/x.png", "a/mask.tif"]
    _touch(tmp_path, *random.Random(0).sample(names, len(names)))
    assert _paths(tmp_path) == ["B.jpeg", "a/c.webp", "a/mask.tif", "a/z.JPG", "b.png", "é.gif"]
    assert _paths(f"{tmp_path}/", limit=2) == ["B.jpeg", "a/c.webp"]
    assert all(Path(row.location).read_bytes() == row.path.encode() for row in list_sources([str(tmp_path)]))


def test_globs_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, "a1.png", "a2.png", "a3.txt", "b.png", "odd.bmp", "[x].png")
    assert _paths(tmp_path / "a*") == ["a1.png", "a2.png"]
    assert _paths(tmp_path / "b.png", tmp_path / "a1.png") == ["a1.png", "b.png"]
    assert _paths(tmp_path / "odd.bmp") == ["odd.bmp"], "a file that is named is tried"
    assert _paths(tmp_path / "[x].png") == ["[x].png"]
    monkeypatch.chdir(tmp_path)
    assert _paths("a?.png") == ["a1.png", "a2.png"]
    assert _paths(".") == ["[x].png", "a1.png", "a2.png", "b.png", "odd.bmp"]


def test_a_file_named_twice_is_one_source(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "b.png")
    assert _paths(tmp_path, tmp_path / "a.png", tmp_path / "*.png") == ["a.png", "b.png"]


def test_equal_names_in_two_folders_stay_apart(tmp_path: Path) -> None:
    _touch(tmp_path, "one/a.png", "two/a.png", "two/b.png")
    assert _paths(tmp_path / "one", tmp_path / "two") == [f"{tmp_path}/one/a.png", f"{tmp_path}/two/a.png", "b.png"]


def test_a_file_list(tmp_path: Path) -> None:
    _touch(tmp_path, "in/a.png", "in/b c.png", "elsewhere/d.png")
    (tmp_path / "in" / "list.txt").write_text(
        f"# a comment\n\nb c.png\n a.png \n{tmp_path}/elsewhere/d.png\ngone.png\n"
    )
    rows = list_sources([str(tmp_path / "in" / "list.txt")])
    assert [row.path for row in rows] == ["a.png", "b c.png", "d.png", "gone.png"]
    assert [os.path.exists(row.location) for row in rows] == [True, True, True, False]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_with_rights(tmp_path: Path, kind: str) -> None:
    _touch(tmp_path, "a.png", "sub/b.png")
    table = pa.table(
        {
            "path": ["sub/b.png", "a.png"],
            "license": ["CC BY 4.0", None],
            "attribution": ['Ann, of "Here"', None],
            "source_uri": ["https://example.org/b", None],
            "other": [1, 2],
        }
    )
    path = tmp_path / f"table.{kind}"
    if kind == "csv":
        pa.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    first, second = list_sources([str(path)])
    assert (first.path, first.source_license, first.source_attribution, first.source_uri) == ("a.png", None, None, None)
    assert (second.path, second.source_license) == ("sub/b.png", "CC BY 4.0")
    assert (second.source_attribution, second.source_uri) == ('Ann, of "Here"', "https://example.org/b")


def test_rights_files_speak_for_what_lies_below_them(tmp_path: Path) -> None:
    _touch(tmp_path, "photos/images/a.png", "photos/images/b.png", "photos/images/deep/c.png", "photos/d.png")
    (tmp_path / "photos" / "LICENSES.csv").write_text(
        "file,licence_name,licence_url,source_url,attribution\n"
        'images/a.png,CC BY 2.0,http://by,http://a,"Ann, B."\n'
        "images/deep/c.png,CC0,,,\n"
        "images/b.png,far,,,\n"
    )
    (tmp_path / "photos" / "images" / "LICENSES.csv").write_text("file,licence_name\nb.png,near\n")
    rows = {row.path: row for row in list_sources([str(tmp_path / "photos" / "images")])}
    a = rows["a.png"]
    assert (a.source_license, a.source_attribution, a.source_uri) == ("CC BY 2.0, http://by", "Ann, B.", "http://a")
    assert rows["b.png"].source_license == "near"
    assert (rows["deep/c.png"].source_license, rows["deep/c.png"].source_uri) == ("CC0", None)
    (alone,) = list_sources([str(tmp_path / "photos" / "images" / "a.png")])
    assert alone.source_uri == "http://a"
    assert {row.path: row.source_license for row in list_sources([str(tmp_path / "photos")])}["d.png"] is None


def test_a_tables_rights_come_before_a_rights_file(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png")
    (tmp_path / "LICENSES.csv").write_text("file,licence_name,source_url\na.png,from file,http://a\n")
    (tmp_path / "table.csv").write_text("path,license\na.png,from table\n")
    (row,) = list_sources([str(tmp_path / "table.csv")])
    assert (row.source_license, row.source_uri) == ("from table", "http://a")


def test_photographs_have_their_rights(photos: Path) -> None:
    rows = list_sources([str(photos / "images")])
    assert len(rows) == 7
    assert all(row.source_license and str(row.source_uri).startswith("http") for row in rows)


def test_object_store(s3: str) -> None:
    for name in ("in/a.png", "in/deep/b.jpg", "in/readme.md"):
        store.write_bytes(f"{s3}/{name}", name.encode())
    store.write_bytes(f"{s3}/LICENSES.csv", b"file,licence_name\nin/a.png,CC0\n")
    rows = list_sources([f"{s3}/in"])
    assert [(row.path, row.source_license) for row in rows] == [("a.png", "CC0"), ("deep/b.jpg", None)]
    assert store.read_bytes(rows[0].location) == b"in/a.png"
    assert _paths(f"{s3}/in/*.png") == ["a.png"]
    store.write_bytes(f"{s3}/in/a.png", b"IN/A.PNG")
    assert list_sources([f"{s3}/in"])[0].fingerprint != rows[0].fingerprint


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    (row,) = list_sources([str(tmp_path)])
    assert row.path == "bad\\xff.png"
    assert store.read_bytes(row.location) == b"x"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, "no such file or folder"),
        ("empty", "folder", "no images in"),
        ("*.png", None, "no images in"),
        ("t.csv", "name,license\na.png,CC0\n", r"t\.csv: no column 'path' \(columns: name, license\)"),
        ("t.parquet", "not parquet", r"t\.parquet: cannot be read as a table"),
        ("list.txt", "# nothing\n", "no images in"),
        ("LICENSES.csv", "path\na.png\n", r"no images|LICENSES"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        list_sources([str(tmp_path / name)])
    assert "\n" not in str(error.value)


def test_shards_follow_the_listing() -> None:
    listing = [Listed(path=f"{n}", location=f"/{n}", fingerprint="x") for n in range(5)]
    cut = plan.shards(listing, 2)
    assert [[row.path for row in shard.rows] for shard in cut] == [["0", "1"], ["2", "3"], ["4"]]
    assert [shard.name for shard in cut] == ["000000", "000001", "000002"]
    assert len({shard.digest for shard in cut}) == 3


def test_a_shards_digest_follows_the_files_not_their_folder(tmp_path: Path) -> None:
    (one,) = plan.shards(list_sources([str(_touch(tmp_path / "one", "a.png", "b.png"))]), 9)
    os.rename(tmp_path / "one", tmp_path / "two")
    (two,) = plan.shards(list_sources([str(tmp_path / "two")]), 9)
    assert one.digest == two.digest
    os.utime(tmp_path / "two" / "a.png", (1, 1))
    (three,) = plan.shards(list_sources([str(tmp_path / "two")]), 9)
    assert three.digest != two.digest
