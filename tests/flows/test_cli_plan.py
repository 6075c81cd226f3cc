"""``spotdiff plan`` and ``spotdiff bench`` through their real entry point."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from commands import ROOT, run_command

from flows.cli.plan import run_bench
from pipeline.config import load_profile
from pipeline.runner.speeds import measured

SOURCES = ROOT / "examples" / "sources"


def plan(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_command("spotdiff", "plan", SOURCES, *arguments)


def test_it_says_what_a_build_on_gpus_takes_and_costs() -> None:
    sure = ["--accept-subjects", "1", "--accept-variations", "1"]
    done = plan("--profile", "sd15", "--gpu", "a100", "--gpus", "8", "--price", "2.0", *sure)
    assert done.returncode == 0, done.stderr
    said = dict(re.findall(r"^  (\S[\w ]*?)  +(.+)$", done.stdout, re.MULTILINE))
    assert said["sources"] == "9"
    assert said["accepted"] == "810 variations of 81 subjects"  # nine sources, nine tenths of them usable
    assert said["to generate"] == "891 pictures, 17,820 image-steps"
    minutes = (81 * 20 / 53.6 + 810 * 20 / 76.2) / 60
    assert f"{minutes:.1f} min denoise" in said["GPU time"]
    judging = 891 * (1 / 92 + 1 / 785) / 60
    assert said["wall time"] == f"{(minutes + judging) / 8:.1f} min on 8 x a100"
    assert said["cost"] == f"{(minutes + judging) / 60 * 2:.2f} at 2 an hour"
    assert "published figures" in done.stdout
    assert "told, else assumed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "plan: on what machine? --gpu a100 takes published speeds"),
        (["--profile", "sdxl", "--gpu", "a100"], "--gpu a100: no published speeds for sdxl at 1024 px"),
        (["--speeds", "nowhere.json"], "--speeds nowhere.json: No such file or directory"),
        (["--gpu", "a100", "--like", "nowhere.parquet"], "nowhere.parquet"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str) -> None:
    done = plan(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert said in line


@pytest.mark.usefixtures("weights")
def test_what_bench_measures_here_plan_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, quick = tmp_path / "speeds.json", tmp_path / "quick.toml"
    one = "num_inference_steps = 1\nbatch_size = 1\n"
    quick.write_text(f'extends = "tiny"\nname = "quick"\n[subjects]\n{one}[backgrounds]\n{one}')
    run_bench(str(quick), None, 0.1, 1, str(file))
    speeds = measured(file, load_profile("tiny"))
    assert speeds.gpu == "cpu"
    for one in (speeds.subjects, speeds.backgrounds):
        assert 0.1 < one.steps_per_s < 1e5
        assert 0.1 < one.judges_per_s["all"] < 1e5
    assert f"{speeds.subjects.steps_per_s:.1f}" in capsys.readouterr().out
    planned = plan("--profile", "tiny", "--speeds", file)
    assert planned.returncode == 0, planned.stderr
    assert "machine time" in planned.stdout
    assert "spotdiff bench --profile quick" in planned.stdout
