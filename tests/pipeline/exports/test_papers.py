"""Data card and Croissant: valid, filled, and read back offline, pictures included."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from pipeline.exports.card import TOPICS, Given, facts_of
from pipeline.exports.export import export
from pipeline.exports.papers import write_card
from pipeline.manifest.filter import Choice, filter_manifest
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import PICTURES

Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def card(toys: Manifest) -> Path:
    return Path(write_card(toys.path, None, Given())[0]).parent


def validated(croissant: Path) -> mlcroissant.Dataset:
    """The description, after mlcroissant found nothing to say about it: what its command does, too."""
    data = mlcroissant.Dataset(str(croissant))
    issues = data.metadata.ctx.issues
    assert (list(issues.errors), list(issues.warnings)) == ([], [])
    return data


def test_the_validators_command_is_content(card: Path) -> None:
    command = [str(Path(sys.executable).with_name("mlcroissant")), "validate", "--jsonld", str(card / "croissant.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Done" in done.stderr
    assert not re.search("warning|error", done.stderr + done.stdout, re.IGNORECASE), done.stderr


def told(record: dict[str, Any], name: str) -> Any:
    value = record[name]
    return value.decode() if isinstance(value, bytes) else value


def picture(png: bytes) -> np.ndarray:
    import io

    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_manifests_croissant_gives_all_records(card: Path, toys: Manifest, rows: Rows) -> None:
    data = validated(card / "croissant.json")
    seen = set()
    for record in data.records("variations"):
        ours = rows[told(record, "variations/variation_id")]
        seen.add(ours["variation_id"])
        for name in PICTURES:
            assert np.array_equal(np.asarray(record[f"variations/{name}"]), picture(ours[name]["bytes"]))
        assert told(record, "variations/split") == ours["split"]
        assert record["variations/pose_score"] == pytest.approx(ours["pose_score"])
        assert np.allclose(record["variations/keypoints"], ours["keypoints"])
    assert seen == rows.keys()
    assert {told(record, "splits/name") for record in data.records("splits")} == {"train", "validation", "test"}
    missed = list(data.records("rejected"))
    assert len(missed) == facts_of(toys, Given()).misses > 0
    assert {told(record, "rejected/reason") for record in missed} == {"pose_not_kept", "degenerate"}


def test_exports_give_all_records_too(toys: Manifest, rows: Rows, tmp_path: Path) -> None:
    own = {name for name, row in rows.items() if row["split"] == "test"}
    for to in ("hf", "webdataset", "imagefolder", "coco"):
        export(toys.path, to, str(tmp_path / to), split="test")
        data = validated(tmp_path / to / "croissant.json")
        names = {record_set.id for record_set in data.metadata.record_sets}
        records = {name: list(data.records(name)) for name in names}
        assert len(records.pop("splits")) == 1
        if to == "hf":
            assert {told(row, "metadata/variation_id") for row in records["metadata"]} == own
            images = {told(row, "variations/variation_id"): row["variations/image"] for row in records["variations"]}
        else:
            files = {told(row, "images/file"): row["images/image"] for row in records["images"]}
            images = {name.removesuffix(".png"): image for name, image in files.items() if name.count(".") == 1}
        assert images.keys() == own
        for name, image in images.items():
            assert np.array_equal(np.asarray(image), picture(rows[name]["image"]["bytes"]))
    assert {
        told(row, "metadata/variation_id")
        for row in mlcroissant.Dataset(str(tmp_path / "imagefolder" / "croissant.json")).records("metadata")
    } == own


def test_pairs_give_their_records(toys: Manifest, tmp_path: Path) -> None:
    export(toys.path, "imagefolder", str(tmp_path / "out"), pairs=True, split="test")
    data = validated(tmp_path / "out" / "croissant.json")
    lines = (tmp_path / "out" / "test" / "metadata.jsonl").read_text().splitlines()
    found = {told(row, "pairs/reference_file_name") for row in data.records("pairs")}
    assert found == {json.loads(line)["reference_file_name"] for line in lines}


def test_the_card_is_filled_and_the_hubs(card: Path, toys: Manifest) -> None:
    text = (card / "README.md").read_text()
    read = DatasetCard(text)
    header = read.data.to_dict()
    assert header["license"] == "other"
    assert header["size_categories"] == ["n<1K"]
    assert {"text-to-image", "image-to-image"} <= set(header["task_categories"])
    assert header["configs"][0]["data_files"]
    for word in ("TODO", "More Information Needed", "{{", "}}", "{%", "None", "nan"):
        assert word not in text
    facts = facts_of(toys, Given())
    assert facts.digest in text
    for model in toys.footer["models"]:
        assert model["license"] in text
        assert model["repo"].rpartition("/")[2] in text
    for number in (facts.total("rows"), facts.total("sources"), facts.total("subjects"), facts.misses):
        assert re.search(rf"\b{number}\b", text)
    assert "pose\\_not\\_kept" in text
    assert "degenerate" in text
    for path in toys.paths:
        assert Path(path).name in text


def test_hostile_rights_stay_text(card: Path) -> None:
    text = (card / "README.md").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#124;x" in text
    data = json.loads((card / "croissant.json").read_text())
    assert "<script>alert(1)</script>|x" in data["license"]


def test_rai_and_provenance_are_said(card: Path, toys: Manifest) -> None:
    data = json.loads((card / "croissant.json").read_text())
    assert "http://mlcommons.org/croissant/1.1" in data["conformsTo"]
    for name in (
        "rai:dataCollection", "rai:dataBiases", "rai:dataLimitations", "rai:dataUseCases", "rai:dataSocialImpact",
        "rai:personalSensitiveInformation", "rai:dataReleaseMaintenancePlan", "rai:machineAnnotationTools",
    ):  # fmt: skip
        assert data[name]
    used = data["prov:wasGeneratedBy"]["prov:used"]
    assert [one["version"] for one in used] == [
        model["fingerprint"] or model["revision"] or "not recorded" for model in toys.footer["models"]
    ]
    assert sum(int(one["prov:label"].split()[0]) for one in data["prov:wasDerivedFrom"]) == facts_of(
        toys, Given()
    ).total("sources")
    files = {one["@id"]: one["sha256"] for one in data["distribution"] if "sha256" in one}
    assert len(files) == len(toys.paths) + 1


def test_what_the_user_says_and_what_a_subset_says(toys: Manifest, tmp_path: Path) -> None:
    part = filter_manifest(
        toys.path, str(tmp_path / "part.parquet"), Choice(where="pose_score > .8 or split = 'test'", sample=20)
    )
    given = Given(license="cc-by-4.0", creator="A. Lab <b>", url="https://example.org/data")
    paths = write_card(part.path, str(tmp_path / "card"), given)
    text = Path(paths[0]).read_text()
    assert DatasetCard(text).data.to_dict()["license"] == "cc-by-4.0"
    assert "A. Lab &lt;b&gt;" in text
    assert f"digest {toys.digest}, {toys.rows} rows" in text
    assert "pose\\_score &gt; .8" in text
    data = json.loads(Path(paths[1]).read_text())
    assert (data["url"], data["license"], data["creator"]["name"]) == (
        "https://example.org/data",
        ["cc-by-4.0"],
        "A. Lab <b>",
    )
    assert len(list(validated(Path(paths[1])).records("variations"))) == 20


def test_a_manifest_of_unknown_making_gets_a_card(toys: Manifest, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(toys.paths[0]).replace_schema_metadata(None), tmp_path / "theirs.parquet")
    text = Path(write_card(str(tmp_path / "theirs.parquet"), None, Given())[0]).read_text()
    assert "does not say how its pictures were made" in text


def test_every_topic_says_something(toys: Manifest) -> None:
    texts = facts_of(toys, Given()).texts
    assert set(texts) == set(TOPICS)
    assert all(len(text) > 80 for text in texts.values())
