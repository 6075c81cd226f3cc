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


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


def test_what_is_left_out_is_told_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _touch(tmp_path, "a.png", "a.txt", "b.txt", "notes.md", ".hidden.png", ".git/x.png", ".git/y.png", "deep/Thumbs.db")
    (tmp_path / "LICENSES.csv").write_text("file\na.png\n")
    assert _paths(tmp_path) == ["a.png"]
    assert _told(caplog) == [f"sources: {tmp_path}: left out: 6 (.txt 2, hidden 2, .db 1, .md 1)"]
    _paths(tmp_path)
    assert len(caplog.records) == 1, "once, however often the listing is made"


def test_pictures_of_other_formats_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["a.heic", "b.AVIF", "c.TIFF", "d.bmp", "e.jp2", "f", "g.nef", "h.svg"]
    assert _paths(_touch(tmp_path, *names)) == ["a.heic", "b.AVIF", "c.TIFF", "d.bmp", "e.jp2", "f", "g.nef", "h.svg"]
    assert _told(caplog) == []


def test_what_a_glob_matches_besides_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _touch(tmp_path, "a.png", "a.txt", "ab/c.png")
    assert _paths(tmp_path / "a*") == ["a.png"]
    assert _told(caplog) == [f"sources: {tmp_path}/a*: left out: 2 (.txt 1, folders 1)"]


def test_a_folder_with_nothing_to_build_from_says_what_it_has(tmp_path: Path) -> None:
    _touch(tmp_path, "a.txt", "b.mov")
    with pytest.raises(UserError, match=r"no images in .*; left out: 2 \(\.mov 1, \.txt 1\)"):
        _paths(tmp_path)


@pytest.mark.timeout(60)
def test_links_are_followed_and_loops_are_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _touch(tmp_path, "in/a.png", "in/sub/b.png", "outside/c.png", "outside/deep/d.png")
    for name, target in {
        "in/linked": "../outside",
        "in/sub/loop": "..",
        "in/up": "../..",
        "in/again": "sub",
        "in/one.png": "../outside/c.png",
        "in/gone.png": "nowhere.png",
        "in/circle.png": "circle.png",
        "in/gone": "nowhere",
    }.items():
        (tmp_path / name).symlink_to(target)
    assert _paths(tmp_path / "in") == [
        "a.png", "circle.png", "gone.png", "linked/c.png", "linked/deep/d.png", "one.png", "sub/b.png"
    ]  # fmt: skip
    assert _told(caplog) == [
        f"sources: {tmp_path}/in: left out: 4 (link to a folder that is there already or above 3, link to nothing 1)"
    ]


@pytest.mark.timeout(60)
def test_what_is_no_file_is_listed_if_its_name_says_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "pipe")
    assert _paths(tmp_path) == _paths(tmp_path / "*") == ["a.png", "b.png"]
    assert _told(caplog) == [f"sources: {place}: left out: 1 (FIFO 1)" for place in (tmp_path, f"{tmp_path}/*")]
    with pytest.raises(UserError, match=r"pipe': a FIFO"):
        _paths(tmp_path / "pipe")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["LICENSES.csv", "poses.json", "list.txt", "table.csv", "table.parquet"])
def test_only_regular_files_are_opened(tmp_path: Path, name: str) -> None:
    _touch(tmp_path, "in/a.png")
    os.mkfifo(tmp_path / "in" / name)
    given = tmp_path / "in" / name if name[:4] in ("list", "tabl") else tmp_path / "in"
    with pytest.raises(UserError, match="a FIFO") as told:
        list_sources([str(given)], poses=str(tmp_path / "in" / name) if name == "poses.json" else None)
    assert name in str(told.value)


def test_a_name_that_begins_with_a_hash_or_a_blank(tmp_path: Path) -> None:
    names = ["#1 portrait.png", " lead.png", "a,b.png", "plain.png", "tail.png "]
    _touch(tmp_path, *names)
    lines = ["# comment", "#1 portrait.png", " lead.png", "a,b.png", " plain.png", "tail.png "]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert _paths(tmp_path / "list.txt") == sorted(names)
    (tmp_path / "table.csv").write_text('path\n"a,b.png"\n lead.png\n#1 portrait.png\n plain.png \ntail.png \n')
    assert _paths(tmp_path / "table.csv") == sorted(names)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_and_tables_of_other_systems(tmp_path: Path, encoding: str, end: str) -> None:
    _touch(tmp_path, "é.png", "b.png")
    for name, lines in {
        "list.txt": ["é.png", "b.png"],
        "table.csv": ["Path,license", "é.png,CC0", "b.png,CC0"],
    }.items():
        (tmp_path / name).write_bytes(end.join([*lines, ""]).encode(encoding))
        rows = list_sources([str(tmp_path / name)])
        assert [row.path for row in rows] == ["b.png", "é.png"]
        assert all(os.path.exists(row.location) for row in rows)


def test_two_lists_that_name_equal_paths_keep_both(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        _touch(tmp_path / folder, "a.png")
        (tmp_path / folder / "list.txt").write_text("a.png\n")
    rows = list_sources([str(tmp_path / "one" / "list.txt"), str(tmp_path / "two" / "list.txt")])
    assert [row.path for row in rows] == [f"{tmp_path}/{folder}/a.png" for folder in ("one", "two")]


def test_an_odd_line_spoils_only_itself(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "folder/b.png")
    (tmp_path / "list.txt").write_text("a.png\nnosuch://host/b.png\nfolder\nnul\0.png\n" + "x" * 5000 + ".png\n")
    rows = list_sources([str(tmp_path / "list.txt")])
    assert len(rows) == 5
    assert "a.png" in [row.path for row in rows]


@pytest.mark.parametrize("through", ["folder", "list", "glob"])
def test_a_limit_looks_at_no_more_than_it_keeps(tmp_path: Path, through: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{n:04d}.png" for n in range(1000)]
    _touch(tmp_path / "in", *names)
    (tmp_path / "in" / "list.txt").write_text("\n".join(names))
    given = {"folder": "in", "list": "in/list.txt", "glob": "in/*.png"}[through]
    looks = []
    for name in ("stat", "lstat"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda path, *a, real=real, **k: (looks.append(path), real(path, *a, **k))[1])
    assert _paths(tmp_path / given, limit=1) == ["0000.png"]
    looked_at = {str(path) for path in looks if str(path).endswith(".png") and "*" not in str(path)}
    assert len(looked_at) <= 1


def test_poses_are_told_their_entries_before_anything_is_opened(tmp_path: Path) -> None:
    _touch(tmp_path, "in/a.png", "in/b.png")
    poses = tmp_path / "in" / "poses.json"
    poses.write_text('{"images": [{"id": 1, "file_name": "images/b.png"}], "annotations": []}')
    rows = list_sources([str(tmp_path / "in")], poses=str(poses))
    assert {row.path: row.pose_entry for row in rows} == {"a.png": None, "b.png": "images/b.png"}
    poses.write_text('{"images": [{"id": 1, "file_name": "images/c.png"}], "annotations": []}')
    with pytest.raises(UserError, match=r"names e\.g\. 'images/c\.png', the sources are e\.g\. 'a\.png'"):
        list_sources([str(tmp_path / "in")], poses=str(poses))


def test_what_an_object_store_leaves_out_is_told(s3: str, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("in/a.png", "in/readme.md", "in/.hidden.png", "in/.cache/b.png"):
        store.write_bytes(f"{s3}/{name}", name.encode())
    assert _paths(f"{s3}/in") == ["a.png"]
    assert _told(caplog) == [f"sources: {s3}/in: left out: 3 (hidden 2, .md 1)"]
