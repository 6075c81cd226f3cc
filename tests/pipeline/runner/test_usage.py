"""Machine time, energy and cost of a build: what is counted, what is summed, and what is left open."""

from __future__ import annotations

import json
import sys
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_stages import SIZE, recipe, write_pictures

from pipeline.config import build_config
from pipeline.exports.card import Given, facts_of
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.merge import merge_manifests
from pipeline.manifest.read import Manifest
from pipeline.report.write import write_report
from pipeline.runner import usage
from pipeline.runner.build import Build, open_build
from pipeline.runner.engine import in_turn
from pipeline.runner.plan import Part
from pipeline.runner.usage import Meter, meters, noting, used
from pipeline.stages.sources import Sources


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Runs of toys count, and this machine has no counters."""
    monkeypatch.setattr(usage, "_NOTED_SECONDS", 0.0)
    monkeypatch.setattr(usage, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(usage, "POWERCAP", tmp_path / "no-powercap")
    monkeypatch.setitem(sys.modules, "pynvml", None)


def note(root: Path, name: str, host: str, began: float, ended: float, joules: dict[str, float] | None) -> None:
    (root / usage.FOLDER).mkdir(parents=True, exist_ok=True)
    said = {"host": host, "began": began, "ended": ended, "joules": joules}
    (root / usage.FOLDER / f"{name}.json").write_text(json.dumps(said))


def zone(folder: Path, name: str, kind: str, span: int = 1_000_000_000) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    (made / "name").write_text(f"{kind}\n")
    (made / "max_energy_range_uj").write_text(f"{span}\n")
    (made / "energy_uj").write_text("0\n")
    return made / "energy_uj"


def opened(folder: Path, **changes: Any) -> Build:
    if not (folder / "in").is_dir():
        write_pictures(folder / "in", 3)
    told = {"sources": (str(folder / "in"),), "manifest": str(folder / "v1.parquet"), "work": str(folder / "work")}
    return open_build(build_config(**{**told, "subjects": 3, "backgrounds": 4, **changes}), [Sources(SIZE), *recipe()])


def test_processors_count_by_package_and_start_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(usage, "POWERCAP", tmp_path / "powercap")
    package = zone(tmp_path / "powercap", "intel-rapl:0", "package-0")
    zone(tmp_path / "powercap", "intel-rapl:0:0", "core")  # a part of the package
    memory = zone(tmp_path / "powercap", "intel-rapl:0:1", "dram")
    (zone(tmp_path / "powercap", "intel-rapl:1", "package-1")).write_text("not for you")
    package.write_text("900000000")
    with noting(str(tmp_path)):
        memory.write_text("5000000")
        package.write_text("100000000")  # over its end: 100 J up to there, 100 J from 0
    told = used(str(tmp_path))
    assert told
    assert told["joules"] == {"package-0 (intel-rapl:0)": 200.0, "dram (intel-rapl:0:1)": 5.0}


def test_gpus_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def energy(card: str) -> int:
        if card == "card 2":
            raise ValueError("not supported")
        return 3_000

    nvml = SimpleNamespace(
        NVMLError=ValueError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 3,
        nvmlDeviceGetHandleByIndex=lambda number: f"card {number}",
        nvmlDeviceGetHandleByUUID=lambda name: f"card of {name}",
        nvmlDeviceGetName=lambda card: f"NVIDIA {card}",
        nvmlDeviceGetTotalEnergyConsumption=energy,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [(one.name, one.read()) for one in meters()] == [("NVIDIA card 0 (0)", 3.0), ("NVIDIA card 1 (1)", 3.0)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-77")
    assert [one.name for one in meters()] == ["NVIDIA card 1 (1)", "NVIDIA card of GPU-77 (GPU-77)"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert meters() == []


def test_the_library_has_these_functions() -> None:
    sys.modules.pop("pynvml")
    nvml = pytest.importorskip("pynvml")
    for name in ("Init", "DeviceGetCount", "DeviceGetHandleByIndex", "DeviceGetHandleByUUID", "DeviceGetName"):
        assert callable(getattr(nvml, f"nvml{name}"))
    assert callable(nvml.nvmlDeviceGetTotalEnergyConsumption)
    assert issubclass(nvml.NVMLError, Exception)


def test_a_killed_run_has_noted_most_of_what_it_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ticks = count()
    monkeypatch.setattr(usage, "meters", lambda: [Meter("clock", lambda: float(next(ticks)))])
    with noting(str(tmp_path)):
        deadline = time.monotonic() + 20
        while not (there := used(str(tmp_path))) or there["joules"] == {"clock": 1.0}:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert there["joules"]["clock"] > 1


def test_runs_add_up_and_share_a_machine_s_time(tmp_path: Path) -> None:
    assert used(str(tmp_path)) is None
    note(tmp_path, "a", "one", 0, 3600, {"gpu": 10.0})
    note(tmp_path, "b", "one", 7200, 9000, {"gpu": 5.0, "cpu": 1.0})
    note(tmp_path, "c", "two", 0, 1800, {"gpu": 7.0})
    assert used(str(tmp_path), price=2.0) == {
        "seconds": 7200, "runs": 3, "joules": {"gpu": 22.0, "cpu": 1.0}, "price": 2.0, "cost": 4.0,
    }  # fmt: skip
    note(tmp_path, "d", "one", 1800, 5400, {"gpu": 9.0})  # beside a: the same device counted twice
    told = used(str(tmp_path))
    assert told
    assert (told["seconds"], told["joules"], told["cost"]) == (9000, None, None)


def test_what_others_use_is_not_guessed_and_damage_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    note(tmp_path, "a", "one", 0, 60, {"gpu": 10.0})
    with noting(str(tmp_path), here=False):
        pass
    (tmp_path / usage.FOLDER / "z.json").write_text('{"host": "one"}')
    told = used(str(tmp_path))
    assert told
    assert (told["runs"], told["joules"]) == (2, None)
    assert "z.json is left out" in caplog.text


def test_a_build_s_footer_report_and_card_say_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain = Manifest(build_manifest(opened(tmp_path, manifest=str(tmp_path / "plain.parquet"))).manifest)
    assert plain.footer["usage"]["joules"] is None
    ticks = count(step=3_600_000)
    monkeypatch.setattr(usage, "meters", lambda: [Meter("a <b>card</b>", lambda: float(next(ticks)))])
    build = opened(tmp_path, price=360.0)
    build.run_part(Part(1, 2))
    manifest = Manifest(build_manifest(build).manifest)
    assert manifest.digest == plain.digest
    told = manifest.footer["usage"]
    assert told["runs"] == 2
    assert told["joules"]["a <b>card</b>"] >= 2 * 3_600_000
    assert told["cost"] == pytest.approx(told["seconds"] / 10, abs=0.01)
    for one, words in ((manifest, ("kWh", "it cost")), (plain, ("its energy is not known",))):
        said = facts_of(one, Given()).texts["made"]
        assert all(word in said for word in words)
    write_report(manifest, str(tmp_path / "report"))
    page = (tmp_path / "report" / "index.html").read_text()
    assert "kWh, whole devices: a &lt;b&gt;card&lt;/b&gt; " in page
    assert "at 360 a machine and hour" in page
    write_report(plain, str(tmp_path / "other"))
    page = (tmp_path / "other" / "index.html").read_text()
    assert "Energy is not known" in page
    assert "<code>--price</code>" in page


def test_an_engine_elsewhere_notes_time_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(usage, "meters", lambda: pytest.fail("asked for this machine's counters"))

    class Elsewhere:
        elsewhere = True

        def __call__(self, shards: Any, tasks: Any) -> Any:
            return in_turn(shards, tasks)

    told = Manifest(build_manifest(opened(tmp_path), Elsewhere()).manifest).footer["usage"]
    assert (told["joules"], told["runs"]) == (None, 1)


def test_merged_manifests_keep_each_run_s(tmp_path: Path) -> None:
    paths = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        write_pictures(folder / "in", 2, first=10 * seed)
        paths.append(build_manifest(opened(folder, seed=seed)).manifest)
    merged = merge_manifests(paths, str(tmp_path / "both.parquet"))
    assert "usage" not in merged.footer
    assert all(run["usage"]["runs"] == 1 for run in merged.footer["merged"])
