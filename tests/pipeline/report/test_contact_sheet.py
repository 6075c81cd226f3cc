"""Contact sheets: every picture in its cell, every gap hatched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_stages import Built, build, recipe, write_pictures

from pipeline.imaging.png import from_png
from pipeline.manifest.read import Manifest
from pipeline.records import Posed, Reason, Subject, Variation
from pipeline.report.canvas import CELL, GAP, LINE, Canvas
from pipeline.report.contact_sheet import save_sheets, write_contact_sheets
from pipeline.report.manifest_sheets import manifest_sheets
from pipeline.report.run_pictures import RunPictures
from pipeline.runner.ledger import Ledger

SUBJECTS, BACKGROUNDS = 4, 6


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("sheets") / "in", 5).parent


@pytest.fixture(scope="module")
def built(work: Path) -> Built:
    stages = recipe(subjects={"count": SUBJECTS, "rejects": 3}, variations={"count": BACKGROUNDS, "rejects": 4})
    return build(work / "in", work / "v1.parquet", work / "work", stages)


@pytest.fixture(scope="module")
def ledger(work: Path) -> Ledger:
    (root,) = (work / "work").glob("v1-*")
    return Ledger(str(root))


def _cell(sheet: Image.Image, column: int, row: int | None) -> np.ndarray:
    """``row`` None: the head."""
    top = GAP if row is None else GAP + CELL + 2 * (3 * LINE + GAP) + row * (CELL + 3 * LINE + GAP)
    left = GAP + column * (CELL + GAP)
    return np.asarray(sheet)[top : top + CELL, left : left + CELL]


def _enlarged(data: bytes) -> np.ndarray:
    image = from_png(data).convert("RGB")
    return np.asarray(image.resize((CELL, CELL), Image.Resampling.NEAREST))


def _is_gap(cell: np.ndarray) -> bool:
    return bool((cell[..., 0] == cell[..., 2]).all()) and 150 < cell.mean() < 230


def test_all_cells_of_all_sheets(built: Built, ledger: Ledger, tmp_path: Path) -> None:
    paths = write_contact_sheets(ledger, built.fragments, tmp_path / "out")
    rows: dict[type, list[Posed]] = {
        kind: [row for f in built.fragments if f.stage == stage for row in ledger.read(f, kind)]
        for stage, kind in (("poses", Posed), ("subjects", Subject), ("variations", Variation))
    }
    assert [Path(path).stem for path in paths] == [row.source_id for row in rows[Posed]]
    pictures = gaps = 0
    for path, source in zip(paths, rows[Posed], strict=True):
        sheet = Image.open(path)
        assert (_cell(sheet, 0, None) == _enlarged(source.source_image or b"")).all()
        assert (_cell(sheet, 1, None) == _enlarged(source.control or b"")).all()
        subjects = [row for row in rows[Subject] if row.source_id == source.source_id]
        variations = {str(row): row for row in rows[Variation] if isinstance(row, Variation)}
        for number, subject in enumerate(subjects):
            assert isinstance(subject, Subject)
            expected: list[bytes | None] = [subject.subject_image, subject.mask] if subject.ok else [None, None]
            for background in range(BACKGROUNDS):
                made = variations.get(f"{subject}/{source.split}-b{background}")
                expected.append(made.image if made and made.ok else None)
            for column, data in enumerate(expected):
                cell = _cell(sheet, column, number)
                if data is None:
                    assert _is_gap(cell), (path, number, column)
                    gaps += 1
                else:
                    assert (cell == _enlarged(data)).all(), (path, number, column)
                    pictures += 1
    assert pictures > 40
    assert gaps > 20


def test_sheets_of_a_manifest_are_those_of_its_fragments(
    built: Built, ledger: Ledger, work: Path, tmp_path: Path
) -> None:
    """Pixel by pixel, gaps with their reasons too; without the work folder the manifest's own pictures remain."""
    of_fragments = write_contact_sheets(ledger, built.fragments, tmp_path / "fragments")
    manifest = Manifest(str(work / "v1.parquet"))
    whole = save_sheets(manifest_sheets(manifest, RunPictures(ledger, built.fragments)), tmp_path / "whole")
    alone = save_sheets(manifest_sheets(manifest), tmp_path / "alone")
    assert sorted(Path(path).name for path in of_fragments) == sorted(Path(path).name for path in whole)
    pictures = gaps = 0
    for path in of_fragments:
        due, name = np.asarray(Image.open(path)), Path(path).name
        assert (due == np.asarray(Image.open(tmp_path / "whole" / name))).all()
        bare = Image.open(tmp_path / "alone" / name)
        assert _is_gap(_cell(bare, 0, None)), "a manifest has no photos"
        assert (_cell(bare, 1, None) == _cell(Image.open(path), 1, None)).all()
        for row in range(SUBJECTS):
            assert _is_gap(_cell(bare, 0, row)), "nor figures"
            for column in range(2, 2 + BACKGROUNDS):
                cell = _cell(Image.open(path), column, row)
                if not _is_gap(cell):
                    assert (_cell(bare, column, row) == cell).all()
                    pictures += 1
                else:
                    gaps += 1
                    assert _is_gap(_cell(bare, column, row))
    assert len(alone) == len(of_fragments)
    assert pictures > 20
    assert gaps > 20


def test_limit_and_unfinished_builds(built: Built, ledger: Ledger, tmp_path: Path) -> None:
    unfinished = [fragment for fragment in built.fragments if fragment.stage != "variations"]
    (path,) = write_contact_sheets(ledger, unfinished, tmp_path, limit=1)
    assert not _is_gap(_cell(Image.open(path), 0, None))


def test_large_pictures_are_fitted_into_the_cell() -> None:
    canvas = Canvas(CELL + 2 * GAP, CELL + 2 * GAP)
    canvas.picture(GAP, GAP, Image.new("RGB", (1024, 512), "red"))
    pixels = np.asarray(canvas.image)
    assert pixels[GAP + CELL // 2, GAP + CELL // 2].tolist() == [255, 0, 0]
    assert pixels[GAP + CELL // 8, GAP + CELL // 2].tolist() == [255, 255, 255]
    assert (pixels[: GAP - 1] == 255).all()


def test_reasons_and_long_texts_stay_inside() -> None:
    canvas = Canvas(CELL + 2 * GAP, CELL + 2 * GAP + 40)
    for reason in Reason:
        canvas.gap(GAP, GAP, reason)
    canvas.gap(GAP, GAP, "RuntimeError: " + "a very long story " * 30)
    canvas.text(GAP, CELL + GAP + 2, "<script>é 你" * 40, width=CELL, lines=2)
    pixels = np.asarray(canvas.image)
    assert (pixels[: GAP - 1] == 255).all()
    assert (pixels[:, -GAP + 2 :] == 255).all()


def test_a_damaged_fragment_costs_its_sheet_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sources = write_pictures(tmp_path / "in", 2)
    made = build(sources, tmp_path / "v1.parquet", tmp_path / "work", recipe(), shard_size=1)
    (root,) = (tmp_path / "work").glob("v1-*")
    hurt = Path(next(f.path for f in made.fragments if f.stage == "variations"))
    data = bytearray(hurt.read_bytes())
    data[len(data) // 3] ^= 1
    hurt.write_bytes(data)
    assert len(write_contact_sheets(Ledger(str(root)), made.fragments, tmp_path / "out")) == 1
    assert caplog.text.count(str(hurt)) == 1
    assert not hurt.exists(), "the next build would not make it again"
