"""``benchmarks/paper``: what the plan holds, how data is cut, and one small round of all tables and figures.

It lies here for the rendered manifests.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rendered import write_rendered

from benchmarks.paper import plan
from benchmarks.paper.__main__ import main
from benchmarks.paper.figures import draw_all
from benchmarks.paper.plan import FULL, SMALL, Run, runs
from benchmarks.paper.tables import curve, scale_curve, table
from benchmarks.paper.work import Paper
from pipeline.config import UserError
from spotdiff_model.data.rows import read_rows
from spotdiff_model.evaluation.generation import generator
from spotdiff_model.evaluation.metrics import R1, SSR
from tinyworld.judges.attributes import grow_judges


def test_the_plan_holds_every_method_native_and_paired_frozen_and_trained():
    everything = list(runs(FULL))
    assert len({run.folder for run in everything}) == len(everything)
    first = [run for run in everything if run.group == "table1" and run.seed == 0]
    for method in (
        "nearid",
        "ip-adapter",
        "ip-adapter-plus",
        "elite-global",
        "elite",
        "blip-diffusion",
        "moma",
        "disenvisioner",
    ):
        found = {(run.changes["reference"], run.changes["unet"]) for run in first if run.method == method}
        assert found == {("same", "frozen"), ("same", "kv"), ("other", "frozen"), ("other", "kv")}
    assert {run.changes["pictures"] for run in first if run.method == "dreambooth"} == {1, 4}
    assert {"ours", "ours-no-text", "nearid-experts"} <= {run.method for run in first}
    assert {run.seed for run in everything if run.group == "table2"} == {0, 1, 2}
    swept = {(run.factor, run.size) for run in everything if run.group == "efficiency"}
    assert len(swept) == 3 * 4 + 1 and (None, None) in swept
    cheap = [run for run in runs(replace(FULL, denoising=False, efficient=("ours",))) if run.group == "efficiency"]
    assert cheap and all(run.changes["noise_weight"] == 0 for run in cheap)
    judged = {(run.method, run.scale): run for run in everything if run.group == "scale"}
    assert {method for method, _ in judged} == set(plan.SCALED) and len(judged) == 5 * len(FULL.scales)
    trained = {run.folder for run in first}
    assert {run.trained for run in judged.values()} < trained  # strengths are of trainings of table 1
    assert all(run.trained == run.folder for run in everything if run.group != "scale")
    small = list(runs(SMALL))
    assert {run.group for run in small} == {run.group for run in everything} and len(small) < 40
    reads = {run.method: run.reads for run in first}
    assert "subject description" in reads["ours"] and "subject description" not in reads["ours-no-text"]


def test_rows_can_be_chosen_and_nothing_else_is_trained_for_strengths():
    chosen = replace(FULL, rows=("ours", "elite-paired-frozen"), seeds=(0,))
    found = list(runs(chosen))
    assert {run.name for run in found if run.group == "table1"} == {"ours", "elite-paired-frozen"}
    assert {run.trained for run in found if run.group == "scale"} == {"table1/elite-paired-frozen/seed-0"}


def test_a_folder_holds_runs_of_one_effort_from_one_manifest(rendered, tmp_path):
    effort = replace(SMALL, subjects=1, backgrounds=1, poses=1, edits=1)
    Paper(str(rendered), tmp_path, effort, None, print).begin()
    Paper(str(rendered), tmp_path, replace(effort, seeds=(0, 1), rows=("ours",)), None, print).begin()
    with pytest.raises(UserError, match="its runs have steps 20, not 30; choose another folder"):
        Paper(str(rendered), tmp_path, replace(effort, steps=30), None, print).begin()
    with pytest.raises(UserError, match="its runs have denoising True, not False"):
        Paper(str(rendered), tmp_path, replace(effort, denoising=False), None, print).begin()
    told = json.loads((tmp_path / "effort.json").read_text())
    (tmp_path / "effort.json").write_text(json.dumps({k: v for k, v in told.items() if k != "denoising"}))
    Paper(str(rendered), tmp_path, effort, None, print).begin()  # of a folder from before there was a choice
    with pytest.raises(UserError, match=r"its runs have pose_pictures None, not poses\.json"):
        Paper(str(rendered), tmp_path, effort, None, print, "poses.json").begin()


@pytest.mark.parametrize("factor", plan.FACTORS)
def test_data_is_cut_by_one_factor_at_a_time(factor, rendered, tmp_path):
    said = []
    paper = Paper(str(rendered), tmp_path, SMALL, None, said.append)
    whole = read_rows(str(rendered)).of_split("train")
    cut = read_rows(paper._cut(Run("efficiency", "nearid", "nearid", 0, factor=factor, size=40)))
    assert 40 <= len(cut) < len(whole) and set(cut.split) == {"train"}
    kept = set(getattr(cut, factor).tolist())
    # whole values of the factor, and every picture of each
    assert len(cut) == sum(value in kept for value in getattr(whole, factor).tolist())
    assert paper._cut(Run("efficiency", "nearid", "nearid", 0, factor=factor, size=10**6)) is None
    assert "left out: the training split has 96 pictures" in said[-1]


def found(ssr, error=0.1, **contestant):
    metrics = {SSR.key: {"mean": ssr, "error": error}, R1.key: {"mean": 0.5, "error": None}}
    bound = {"title": "raw CLIP", "metrics": {SSR.key: {"mean": 0.0}}}
    return {
        "evaluated": "x",
        "methods": {"x": {"metrics": metrics}, "clip": bound},
        "protocol": {"contestant": contestant},
    }


def test_tables_give_mean_spread_and_clustered_error_and_what_it_cost():
    made = [
        (Run("table1", "ours", "ours", 0), found(0.4, costs={"steps": 20, "unet_passes": 40})),
        (Run("table1", "ours", "ours", 1), found(0.6)),
        (
            Run("table1", "dreambooth-1", "dreambooth", 0),
            found(0.2, subjects=3, seconds_a_subject=2.0, megabytes_a_subject=25.6, max_train_steps=5),
        ),
    ]
    lines = table(made, reads=True).splitlines()
    assert "| SSR ↑" in lines[0] and "reads in training" in lines[0]
    assert lines[2].startswith("| ours | 2 | captions, keypoints, ids, subject description | 20 | 40 | – |")
    assert "0.500 ± 0.141 (se 0.100)" in lines[2]
    assert "2.0 s, 25.60 MB" in lines[3]
    assert lines[4].startswith("| raw CLIP | – | – |") and lines[4].count("–") >= 5 and len(lines) == 5
    swept = [(Run("efficiency", "ours", "ours", 0, factor="subject_id", size=n), found(n / 100)) for n in (30, 10)]
    swept.append((Run("efficiency", "ours", "ours", 0), found(0.5)))
    assert curve(swept, SSR, whole=90) == {("ours", "subject_id"): [(10, 0.1), (30, 0.3), (90, 0.5)]}
    assert "| ours, fewer subjects: 30 | 1 |" in table(swept) and "| ours | 1 |" in table(swept)


def test_no_figure_is_drawn_of_nothing(rendered, tmp_path):
    Paper(str(rendered), tmp_path, replace(SMALL, subjects=1, backgrounds=1, poses=1, edits=1), None, print).begin()
    swept = [(Run("efficiency", "ours", "ours", 0, factor="subject_id", size=n), found(n / 100)) for n in (30, 10)]
    drawn = draw_all([], swept, [], tmp_path, pictures=90)
    assert {path.name for path in drawn} == {"efficiency-r1.png", "efficiency-ssr.png"}


def test_strengths_become_a_curve_a_method():
    made = [(Run("scale", "elite-paired-frozen", "elite", 0, scale=s), found(s / 2)) for s in (1.0, 0.25)]
    assert scale_curve(made, SSR) == {"elite": [(0.25, 0.125), (1.0, 0.5)]}


def test_a_part_that_there_is_not_is_named(rendered, tmp_path):
    with pytest.raises(UserError, match="--tables 'table3': is none of table1, table2, efficiency, scale"):
        main(manifest=str(rendered), output_dir=str(tmp_path), tables="table1,table3")
    with pytest.raises(UserError, match="--no_denoising: elite learns nothing without"):
        main(manifest=str(rendered), output_dir=str(tmp_path), tables="efficiency", denoising=False)


@pytest.mark.slow
def test_all_of_it_is_made_once_and_then_found(tmp_path, weights, monkeypatch, capsys):
    monkeypatch.setattr(generator, "grow_judges", lambda: grow_judges(scenes=60, held_out=20, trees=5))
    few = replace(
        SMALL, steps=2, batch=4, fit_steps=2, subjects=1, backgrounds=1, poses=1, edits=1, sizes=(16,),
        scales=(0.5,), efficient=("nearid",), ablations=1,
        methods=("nearid-experts", "ip-adapter", "textual-inversion"),
    )  # fmt: skip
    monkeypatch.setattr(plan, "SMALL", few)
    monkeypatch.setattr(plan, "FACTORS", ("subject_id",))
    manifest = write_rendered(tmp_path / "v1.parquet", train=3, validation=1, test=2, subjects=3, backgrounds=2)
    options = {"manifest": str(manifest), "output_dir": str(tmp_path / "paper"), "small": True}
    main(**options)
    folder = Path(tmp_path / "paper")
    for name in ("table1.md", "table2.md", "figure1.png", "figure5.png", "figure6.png", "scale-kept.png"):
        assert (folder / name).stat().st_size > 100, name
    rows = (folder / "table1.md").read_text()
    for name in ("nearid-experts", "ip-adapter-native-frozen", "ip-adapter-paired-frozen", "textual-inversion-4"):
        assert f"| {name} |" in rows
    assert "| real pictures (ceiling) |" in rows and "| text-prompt upper bound |" in rows
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.json")}
    assert len(before) == 5 + 1 + (1 + 1) + 1
    strength = json.loads((folder / "scale/ip-adapter-paired-frozen/0.5/evaluation/metrics.json").read_text())
    assert strength["protocol"]["contestant"]["scale"] == 0.5
    assert not any(key.startswith("leakage") for key in strength["methods"]["ip-adapter"]["metrics"])
    capsys.readouterr()
    main(**options)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.json")} == before
    assert "training" not in capsys.readouterr().err
    (folder / "table1.md").unlink()
    main(**options, seeds="0,1", collect=True)  # a second seed that nobody trained
    assert (folder / "table1.md").read_text() == rows
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.json")} == before


def test_figures_of_bars_and_curves_are_pictures():
    from spotdiff_model.evaluation.report.plots import curves, grouped_bars

    bars = grouped_bars({"a": {"x": 1.0, "y": 0.5}, "b": {"y": 0.2}}, ["x", "y"], "title")
    lines = curves({"a": [(10, 0.1), (100, 0.4)]}, "pictures", "SSR")
    assert all(png.startswith(b"\x89PNG") and len(png) > 3000 for png in (bars, lines))
    assert np.frombuffer(bars, np.uint8).std() > 0
