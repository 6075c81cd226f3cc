"""metrics.json, report.html and plots of an evaluation."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from spotdiff_model.evaluation.metrics import BACKGROUND, POSE, R1, SSR
from spotdiff_model.evaluation.report.criteria import acceptance_criteria
from spotdiff_model.evaluation.report.plots import bars, picture_grid
from spotdiff_model.evaluation.report.report import EvaluationResult, criteria_text, table_text, write_report
from spotdiff_model.evaluation.scoring import Scores


def scores(name, r1, pose):
    values = {
        R1.key: [r1, r1 + 0.1],
        "retrieval/subject/hard/chance": [0.1, 0.1],
        POSE.key: [pose, pose],
        POSE.chance: [0.0, 0.0],
        BACKGROUND.key: [0.3, 0.3],
        BACKGROUND.chance: [0.1, 0.1],
        "dependence/subject-pose/distance_correlation": [0.25, 0.35],
        "generation/new_pose/pose_copy_rate": [0.5],
    }
    return Scores(name, f"<b>{name}</b>", "a & b", values)


@pytest.fixture
def result():
    ours, others = scores("ours", 0.8, 0.02), [scores("clip", 0.2, 0.1), scores("clip-tokens", 0.1, 0.4)]
    data = {"path": "<m>.parquet", "digest": "d" * 64, "split": "test", "rows": 9, "subjects": 3, "poses": 3}
    lines = acceptance_criteria(ours, {each.name: each for each in others})
    sheet = picture_grid([("subject-1", [("reference", Image.new("RGB", (8, 8), "red"))] * 3)])
    protocol = {"seeds": [0, 1], "backbone": "<script>alert(1)</script>"}
    return EvaluationResult(
        "work/<x>", {**data, "backgrounds": 3}, protocol, ours, others, lines, sheet, {"dreambench": {"mean": {}}}
    )


def test_everything_is_written(result, tmp_path):
    write_report(result, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["methods"]["ours"]["metrics"][R1.key]["mean"] == pytest.approx(0.85)
    assert metrics["methods"]["ours"]["metrics"][R1.key]["std"] == pytest.approx(0.0707, abs=1e-3)
    assert metrics["leakage"]["linear"]["subject"]["pose"]["share"] == pytest.approx(0.05)
    met = {line["what"]: line["met"] for line in metrics["acceptance_criteria"]}
    assert met[POSE.title] is True and met[SSR.title] is None
    assert metrics["protocol"]["seeds"] == [0, 1]
    assert "proves little" in metrics["remarks"]["cosine"]
    assert metrics["dreambench"] == {"mean": {}}
    for name in ("leakage_linear", "retrieval", "pose_leakage", "background_leakage", "pictures"):
        picture = Image.open(io.BytesIO((tmp_path / f"{name}.png").read_bytes()))
        assert min(picture.size) > 50
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 3


def test_the_page_stands_alone_and_escapes_what_others_wrote(result, tmp_path):
    write_report(result, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "<script>" not in page and "<b>ours" not in page and "work/<x>" not in page
    assert "&lt;b&gt;ours" in page and "a &amp; b" in page
    assert "our reconstruction" in page
    assert "<th>new pose</th>" in page and "<td>pose copied</td>" in page and "<td>subject-pose</td>" in page
    assert "0.850" in page and "± 0.071" in page.replace("\n", " ")


def test_tables_for_terminal_and_readme(result):
    lines = table_text(result).splitlines()
    assert lines[2].startswith("| chance | 0.100 |")
    assert "0.850 ± 0.071" in lines[3]
    assert "subject told" in criteria_text(result)
    assert "| 0.020 | at most a quarter of raw CLIP's 0.400 (all its tokens) | 0.05 | aim reached |" in criteria_text(
        result
    )


@pytest.mark.filterwarnings("error")
def test_a_single_bar_just_below_zero_leaves_room_for_its_number():
    assert bars([Scores("ours", "ours (f_s)", "", {"x": [-0.004]})], "x", "pose R2, from f_s", 0.0)
