"""A picture made again from its footer and its source has the same bytes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from pipeline.config import UserError, build_config
from pipeline.exports.reproduce import reproduce
from pipeline.manifest.filter import Choice, filter_manifest
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.merge import merge_manifests
from pipeline.manifest.read import Manifest
from pipeline.runner.build import open_build

EXAMPLES = Path(__file__).parents[3] / "examples" / "sources"


def _built(folder: Path, name: str, seed: int) -> Manifest:
    config = build_config(
        sources=(str(folder / f"{name}.png"),),
        poses=str(folder / "poses.json"),
        manifest=str(folder / f"{name}.parquet"),
        work=str(folder / "work"),
        subjects=2,
        backgrounds=2,
        seed=seed,
    )
    build_manifest(open_build(config))
    return Manifest(config.manifest)


def _ids(manifest: Manifest) -> list[str]:
    return [name for batch in manifest.batches(["variation_id"]) for name in batch.column(0).to_pylist()]


@pytest.mark.usefixtures("weights")
def test_the_same_bytes_from_footer_and_source(tmp_path: Path) -> None:
    for name in ("world-20000204.png", "world-20000205.png", "poses.json"):
        shutil.copy(EXAMPLES / name, tmp_path)
    runs = [_built(tmp_path, "world-20000204", 0), _built(tmp_path, "world-20000205", 7)]
    merged = merge_manifests([one.path for one in runs], str(tmp_path / "merged.parquet"))
    shutil.rmtree(tmp_path / "work")  # the footer and the source alone
    rows = {row["variation_id"]: row for batch in merged.batches() for row in batch.to_pylist()}
    for run in runs:
        for name in (_ids(run)[0], _ids(run)[-1]):
            for manifest in (run, merged):
                made = reproduce(manifest, name)
                assert made.same, (made.changed, made.largest)
                assert made.image == rows[name]["image"]["bytes"]
                assert hashlib.sha256(made.image).hexdigest() == rows[name]["sha256"] == made.expected
                assert (made.changed, made.largest, made.mean, made.models) == (0, 0, 0, ())
    name = _ids(runs[0])[0]
    part = filter_manifest(runs[0].path, str(tmp_path / "part.parquet"), Choice(where=f"variation_id = '{name}'"))
    assert reproduce(part, name).same

    with pytest.raises(UserError, match="has no variation 'nobody'"):
        reproduce(merged, "nobody")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "world-20000204.png", tmp_path / "elsewhere" / "renamed.png")
    with pytest.raises(UserError, match="world-20000204"):
        reproduce(runs[0], name)
    with pytest.raises(UserError, match=r"is the source .*--source"):
        reproduce(runs[0], name, source=str(tmp_path / "world-20000205.png"))
    shutil.move(tmp_path / "elsewhere" / "renamed.png", tmp_path / "elsewhere" / "world-20000204.png")
    assert reproduce(runs[0], name, source=str(tmp_path / "elsewhere")).same


@pytest.mark.usefixtures("weights")
def test_how_far_other_pixels_are_off_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that rounds differently, played by a brighter pixel in each picture."""
    import numpy as np
    from PIL import Image

    from pipeline.imaging.png import from_png, to_png
    from pipeline.stages.backgrounds import InpaintBackgrounds

    for name in ("world-20000204.png", "poses.json"):
        shutil.copy(EXAMPLES / name, tmp_path)
    run = _built(tmp_path, "world-20000204", 0)
    finish = InpaintBackgrounds.finish

    def other(self: InpaintBackgrounds, rows: object, made: object) -> list[object]:
        changed = []
        for row in finish(self, rows, made):  # type: ignore[arg-type]
            assert row.image is not None
            pixels = np.array(from_png(row.image))
            pixels[3, 5, 1] = (int(pixels[3, 5, 1]) + 100) % 256
            object.__setattr__(row, "image", to_png(Image.fromarray(pixels)))
            changed.append(row)
        return changed

    monkeypatch.setattr(InpaintBackgrounds, "finish", other)
    made = reproduce(run, _ids(run)[0])
    assert not made.same
    assert made.in_batches
    assert made.changed == pytest.approx(1 / 64**2)
    assert made.largest in (100, 156)
    assert made.mean == pytest.approx(made.largest / (3 * 64**2))
