"""Tables are text: nothing in them is guessed at."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import UserError
from pipeline.inputs.listing import list_sources
from pipeline.inputs.tables import read_csv


def table(folder: Path, text: str) -> str:
    (folder / "t.csv").write_text(text, newline="")
    return str(folder / "t.csv")


def rows(folder: Path, text: str) -> list[dict[str, str]]:
    return read_csv(table(folder, text), "sources", ["path", "file"])[1]


@pytest.mark.parametrize("name", ["0012", "007", "1e3", "NA", "null", "NaN", "true", "2024-01-01", " 1", "1.0"])
def test_what_looks_like_something_stays_text(tmp_path: Path, name: str) -> None:
    assert rows(tmp_path, f"path,license\n{name},{name}\n{name}.png,\n") == [
        {"path": name, "license": name},
        {"path": f"{name}.png"},
    ]


@pytest.mark.parametrize("size", [0, 2**16 - 40, 2**20 - 60, 2**20 - 41, 2**20 - 40, 2**21])
def test_newlines_in_quoted_cells_at_any_place(tmp_path: Path, size: int) -> None:
    text = f'path,license,note\nx.png,CC0,"{"n" * size}"\ny.png,"CC\nBY","a\r\n""b"""\n'
    assert rows(tmp_path, text)[1] == {"path": "y.png", "license": "CC\nBY", "note": 'a\r\n"b"'}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    lines = [["License", " path "], ["CC0", "a.png"], ["CC0", ""]]
    text = "\n".join(delimiter.join(line) for line in lines)
    assert rows(tmp_path, text) == [{"license": "CC0", "path": "a.png"}, {"license": "CC0"}]


def test_a_single_column_has_no_delimiter(tmp_path: Path) -> None:
    assert rows(tmp_path, "path\na;b.png\n") == [{"path": "a;b.png"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('path,license\n"a.png,CC0\n', r"t\.csv: line \d: cannot be read as a table: unexpected end of data"),
        ('path,license\n"a"b.png,CC0\n', r"t\.csv: line 2: cannot be read"),
        ("path\na.png\na,b.png\n", r"t\.csv: line 3: 2 cells under 1 columns; put quotes"),
        ("", r"t\.csv: no column 'path' \(columns: \)"),
    ],
)
def test_what_is_no_table_is_named_by_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        rows(tmp_path, text)


def test_short_rows_and_empty_cells_behind_the_last_column_pass(tmp_path: Path) -> None:
    assert rows(tmp_path, "path,license\na.png\nb.png,CC0,,,\n,,\n\n") == [
        {"path": "a.png"},
        {"path": "b.png", "license": "CC0"},
    ]


def test_rows_without_a_path_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.png").touch()
    (row,) = list_sources([table(tmp_path, "path,license\na.png,\n,CC0\n")])
    assert row.path == "a.png"
    assert [record.message for record in caplog.records] == [
        f"sources: {tmp_path}/t.csv: left out: 1 (row without a path 1)"
    ]


def test_a_parquet_column_of_any_type_is_text(tmp_path: Path) -> None:
    for kind, values in {"string": ["7", None], "int64": [7, None], "binary": [b"7", b"8"]}.items():
        pq.write_table(pa.table({"file": pa.array(values, kind), "huge": [b"x"] * 2}), tmp_path / "t.parquet")
        assert list_sources([str(tmp_path / "t.parquet")])[0].path == "7"


def test_parquet_whose_text_is_none_is_an_error(tmp_path: Path) -> None:
    text = pa.array([b"\xff.png"]).view(pa.string())
    pq.write_table(pa.table({"file": text}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"t\.parquet: cannot be read as a table: .*UTF8"):
        list_sources([str(tmp_path / "t.parquet")])
    data = (tmp_path / "t.parquet").read_bytes()
    at = data.rindex(b"file")
    (tmp_path / "t.parquet").write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    with pytest.raises(UserError, match=r"t\.parquet: cannot be read as a table"):
        list_sources([str(tmp_path / "t.parquet")])


def test_rights_that_match_no_source_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    (tmp_path / "LICENSES.csv").write_text("file;licence_name\na.png;CC0\nb.png;CC0\nB.png;CC0\ngone.png;CC0\n")
    for limit in (None, 1):
        assert list_sources([str(tmp_path)], limit)[0].source_license == "CC0"
    assert [record.message for record in caplog.records] == [
        f"{tmp_path}/LICENSES.csv: 2 of 4 rows name no source of this build, such as 'B.png'"
    ]


def test_rights_that_are_no_table_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "LICENSES.csv").write_text('file,licence_name\n"a.png,CC0\n')
    with pytest.raises(UserError, match=r"rights: .*LICENSES\.csv: line \d: cannot be read as a table"):
        list_sources([str(tmp_path)])
