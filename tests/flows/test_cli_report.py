"""``spotdiff report``, the report at the end of a build, ``status --watch``, and the outcome for Prefect."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from commands import run_command
from toy_flow import open_toy
from toy_stages import write_pictures

from flows.build_dataset import run_here
from flows.cli import report, sheets, summary
from flows.cli.report import make_report
from flows.handover import Handover
from flows.outcome_artifacts import outcome_table
from flows.report import write_build_report
from pipeline.manifest.clean import clean
from pipeline.manifest.finish import build_manifest, finish
from pipeline.manifest.read import Manifest
from pipeline.report.places import INDEX, is_current, report_folder
from pipeline.runner.build import Build


@pytest.fixture
def build(tmp_path: Path) -> Build:
    sources = write_pictures(tmp_path / "in", 3)
    made = open_toy(str(sources), str(tmp_path / "m.parquet"), str(tmp_path / "work"), subjects={"rejects": 3})
    build_manifest(made)
    return made


def test_a_report_of_a_manifest_alone(build: Build, tmp_path: Path) -> None:
    done = run_command("spotdiff", "report", "m.parquet", "--work", "nowhere", "--originals", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("__report__/m/index.html: ")
    (warning,) = done.stderr.splitlines()
    assert "goes without photos" in warning
    assert "no build of m.parquet was started with --work nowhere" in warning
    originals = (tmp_path / "__report__" / "m" / "originals").glob("*/*.png")
    assert len(list(originals)) == Manifest(str(tmp_path / "m.parquet")).rows


def test_a_folder_with_other_things_is_refused(build: Build, tmp_path: Path) -> None:
    done = run_command("spotdiff", "report", "m.parquet", "--out", "in", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "--out in: holds other things than a report; name an empty or a new folder\n"
    make_report(str(tmp_path / "m.parquet"), "work", str(tmp_path / "new"), False)
    make_report(str(tmp_path / "m.parquet"), "work", str(tmp_path / "new"), False)
    assert (tmp_path / "new" / INDEX).exists()


def test_contact_sheets_come_before_the_manifest_with_it_and_after_clean(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (sheets, report):
        monkeypatch.setattr(module, "open_build", lambda config: build)
    manifest, work = build.config.manifest, build.config.work
    aside = tmp_path / "aside.parquet"

    def drawn(name: str) -> dict[str, bytes]:
        sheets.draw_sheets(manifest, work, tmp_path / name)
        assert capsys.readouterr().out == f"3 contact sheets in {tmp_path / name}\n"
        return {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.png")}

    with_it = drawn("with")
    Path(manifest).rename(aside)
    assert drawn("before") == with_it
    aside.rename(manifest)
    clean(build)
    after = drawn("after")
    assert after.keys() == with_it.keys()
    assert all(after[name] != with_it[name] for name in after), "photos and figures are gone"
    assert build.complete(build.scan()), "what was done is still on record"


def test_contact_sheets_need_no_work_folder(build: Build, tmp_path: Path) -> None:
    done = run_command("spotdiff", "contact-sheet", "m.parquet", "--work", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "3 contact sheets in __contact__/m\n"), done.stderr
    assert "contact sheets go without photos, figures and rejected pictures" in done.stderr
    done = run_command("spotdiff", "contact-sheet", "other.parquet", "--work", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no build of other.parquet was started with --work nowhere" in done.stderr


def test_a_build_s_report_is_written_once(build: Build) -> None:
    path = write_build_report(build)
    assert path == f"{report_folder(build.config.manifest)}/{INDEX}"
    assert is_current(Manifest(build.config.manifest), report_folder(build.config.manifest))
    photos = Path(path).parent / "sources.html"
    assert "The photos themselves are not in a manifest" not in photos.read_text()
    before = photos.stat().st_mtime_ns
    assert write_build_report(build) == path
    assert photos.stat().st_mtime_ns == before


def test_a_report_that_cannot_be_written_costs_no_build(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    folder = Path(report_folder(build.config.manifest))
    folder.parent.write_text("a file where a folder belongs")
    assert write_build_report(build) is None
    assert "no report was written" in caplog.text
    assert f"`spotdiff report {build.config.manifest}` tries again" in caplog.text


def test_status_watches_until_the_build_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(summary, "WATCH_SECONDS", 0.05)
    sources = write_pictures(tmp_path / "in", 3)
    arguments = (str(sources), str(tmp_path / "m.parquet"), str(tmp_path / "work"))
    slow = open_toy(*arguments, variations={"seconds": 0.02})
    working = threading.Thread(target=build_manifest, args=(slow,))
    watching = open_toy(*arguments)
    working.start()
    found = summary.watched(watching)
    working.join()
    assert watching.complete(found)
    assert finish(watching, found).rows == 36
    told = capsys.readouterr().out.splitlines()
    assert any("variations 1 of 3" in line for line in told), told
    assert len(set(told)) == len(told), "a line was told twice"


def test_the_outcome_as_a_table(build: Build) -> None:
    outcome = finish(build, build.scan())
    lines = {line["stage"]: line for line in outcome_table(outcome)}
    assert list(lines) == ["sources", "poses", "subjects", "variations"]
    rejected = lines["subjects"]["rejected"]
    assert rejected == 9 - int(lines["subjects"]["ok"]) > 0
    assert lines["subjects"]["why"] == f"{rejected} pose_not_kept"
    assert lines["variations"]["ok"] == outcome.rows


@pytest.mark.usefixtures("server")
def test_prefect_s_dashboard_shows_the_outcome_and_where_the_report_is(tmp_path: Path) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client

    build = open_toy(str(write_pictures(tmp_path / "in", 2)), str(tmp_path / "seen.parquet"), str(tmp_path / "work"))
    flow(name="seen")(lambda: run_here(Handover(build), 2).rows)()
    with get_client(sync_client=True) as client:
        found = {a.key: a.data for a in client.read_artifacts() if a.key and a.key.endswith(build.config.run)}
    table = json.loads(str(found[f"outcome-{build.config.run}"]))
    assert {line["stage"]: line["ok"] for line in table} == {"sources": 2, "poses": 2, "subjects": 6, "variations": 24}
    site = Path(report_folder(build.config.manifest)) / INDEX
    assert site.exists()
    assert found[f"report-{build.config.run}"] == f"[{site}]({site.as_uri()})"
