"""Fragments: what is written is found, read back and counted; what is not whole does not exist."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ids, store
from pipeline.records import Reason, Source, Subject
from pipeline.runner.ledger import Ledger

ids_ = st.text("0123456789abcdef", min_size=16, max_size=16)
score = st.none() | st.floats(0, 1, width=32)
subjects = st.builds(
    Subject,
    source_id=ids_,
    path=st.text(max_size=8),
    subject_id=st.text("abc-", min_size=1, max_size=3),
    source_license=st.none() | st.text(max_size=8),
    subject_seed=st.integers(0, 2**63 - 1),
    subject_attempt=st.integers(0, 9),
    subject_image=st.none() | st.binary(max_size=40),
    pose_score=score,
    mask_area=score,
    people=st.none() | st.integers(0, 9),
)


def _rows() -> list[Source]:
    good = [
        Source(source_id=f"{n:016x}", path=f"{n}.png", source_image=b"png" * n, frame=[0, -1.5, n]) for n in range(4)
    ]
    return [*good, Source(source_id="f" * 16, path="bad.png").reject(Reason.UNREADABLE, "cut off")]


@pytest.fixture(params=["disk", "s3"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    root = str(request.getfixturevalue("s3")) if request.param == "s3" else str(tmp_path)
    return Ledger(f"{root}/work/run")


def test_what_is_written_is_found_and_read(ledger: Ledger) -> None:
    key = ids.digest("key")
    assert ledger.find("sources", "000001", key) is None
    written = ledger.write(_rows(), Source, stage="sources", shard="000001", key=key, settings="s")
    assert written.path == f"{ledger.root}/sources/000001-{key[:16]}.parquet"
    assert ledger.find("sources", "000001", key) == written
    assert ledger.find("sources", "000002", key) is None
    assert ledger.find("sources", "000001", ids.digest("other")) is None
    assert ledger.find("sources", "000001", key[:16] + "0" * 48) is None
    assert written.counts == {"ok": 4, "rejected": 1}
    assert written.reasons == {"unreadable": 1}
    assert written.total == 5
    assert written.digest == ids.rows_digest(_rows())
    assert ledger.read(written, Source) == _rows()
    assert ledger.read_source(written, "2.png", Source) == [_rows()[2]]


@given(st.lists(subjects, max_size=8, unique_by=lambda row: str(row)))
def test_all_rows_survive(tmp_path_factory: pytest.TempPathFactory, rows: list[Subject]) -> None:
    ledger = Ledger(str(tmp_path_factory.mktemp("ledger")))
    rows = sorted(rows, key=lambda row: str(row))
    fragment = ledger.write(rows, Subject, stage="subjects", shard="0", key=ids.digest("k"), settings="s")
    back = ledger.read(fragment, Subject)
    assert back == rows
    assert ids.rows_digest(back) == fragment.digest
    assert [row for source in fragment.sources for row in ledger.read_source(fragment, source, Subject)] == rows


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    fragment = ledger.write(_rows(), Source, stage="sources", shard="0", key="k", settings="s")
    rows = ledger.read(fragment, Source, leaving_out=["source_image"])
    assert [row.source_image for row in rows] == [None] * 5
    assert [row.source_id for row in rows] == [row.source_id for row in _rows()]


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "foreign"])
def test_an_unreadable_fragment_is_not_done(tmp_path: Path, damage: str) -> None:
    ledger = Ledger(str(tmp_path))
    fragment = ledger.write(_rows(), Source, stage="sources", shard="0", key="k" * 16, settings="s")
    path = Path(fragment.path)
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-20], "empty": b"", "other": b"not parquet", "foreign": _foreign()}[damage])
    assert ledger.find("sources", "0", "k" * 16) is None
    assert ledger.fragments("sources") == []


def _foreign() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    return bytes(sink.getvalue())


def test_earlier_fragments_are_found_by_source_and_settings(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    rows = _rows()
    one = ledger.write(rows[:2], Source, stage="sources", shard="0", key="a" * 16, settings="s")
    two = ledger.write(rows[2:], Source, stage="sources", shard="1", key="b" * 16, settings="s")
    assert ledger.earlier("sources", "s", ["1.png", "3.png"]) == [one, two]
    assert ledger.earlier("sources", "s", ["3.png"]) == [two]
    assert ledger.earlier("sources", "t", ["3.png"]) == []
    later = ledger.write(rows[2:], Source, stage="sources", shard="7", key="c" * 16, settings="s")
    ledger.look_anew()
    assert ledger.earlier("sources", "s", ["3.png"]) == [two, later]


WRITER = """
import sys
from pipeline.runner.ledger import Ledger
from pipeline.records import Source
rows = [Source(source_id=f"{n:016x}", path=f"{n}", source_image=bytes([n]) * 200_000) for n in range(20)]
ledger = Ledger(sys.argv[1])
print("ready", flush=True)
for n in range(10_000):
    ledger.write(rows, Source, stage="sources", shard=f"{n:06d}", key="k" * 16, settings="s")
"""


def test_kill_leaves_whole_fragments_only(tmp_path: Path) -> None:
    for delay in (0.001, 0.006, 0.011, 0.018, 0.027):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        with writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            for _ in range(1000):
                if list(tmp_path.glob("sources/*.parquet")):
                    break
                time.sleep(0.01)
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        names = [name for name in os.listdir(tmp_path / "sources") if name.endswith(".parquet")]
        fragments = Ledger(str(tmp_path)).fragments("sources")
        assert len(fragments) == len(names)
        for fragment in fragments:
            assert len(Ledger(str(tmp_path)).read(fragment, Source)) == 20
        store.remove_stray(str(tmp_path))
        assert sorted(os.listdir(tmp_path / "sources")) == sorted(names)
        assert names
