"""Stage ``poses`` with a pose file: every joint where it is in the source, as data and as a picture."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_rows import pixels, posed
from PIL import Image

from pipeline import ids
from pipeline.config import ModelRef, PoseSettings, Splits, UserError, load_profile
from pipeline.imaging.keypoints import oks
from pipeline.imaging.skeleton import draw_pose
from pipeline.inputs.listing import list_sources
from pipeline.inputs.matching import match
from pipeline.inputs.pose_file import read_pose_file
from pipeline.models.resolve import Model
from pipeline.records import Posed, Reason, Source, Status
from pipeline.stages.poses import FindPoses
from pipeline.stages.sources import Sources
from tinyworld.world.export import export
from tinyworld.world.render import render_seed

NOBODY = Model(ModelRef(repo="package:profiles", license="none"))


def stage(file: str | None, **changes: object) -> FindPoses:
    settings = PoseSettings(line_width=0.03)
    whole = FindPoses(poses=settings, size=64, extractor=NOBODY, file=file, splits=Splits(), seed=7)
    return replace(whole, **changes)  # type: ignore[arg-type]


def sources(folder: Path) -> list[Source]:
    rows = list(Sources(size=64).process(list_sources([str(folder)])))
    assert all(row.ok for row in rows)
    return rows


def find(file: str | None, rows: list[Source], **changes: object) -> list[Posed]:
    whole = stage(file, **changes)
    if file:
        entry_of = match(read_pose_file(file), [(row.path, row.path) for row in rows])
        rows = [replace(row, pose_entry=entry_of.get(row.path)) for row in rows]
    return list(whole.process(whole.expand(rows)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("world"), count=12, seed=100, size=200).parent


def test_keypoints_and_control_are_the_render_s(world: Path) -> None:
    rows = find(str(world / "person_keypoints.json"), sources(world / "images"))
    found = [row for row in rows if row.ok]
    assert len(found) >= 8
    for row in found:
        truth = render_seed(100 + sorted(r.path for r in rows).index(row.path)).keypoints
        keypoints = np.asarray(row.keypoints)
        both = (keypoints[:, 2] > 0) & (truth[:, 2] > 0)
        assert both.sum() >= 7
        assert np.abs(keypoints[both, :2] - truth[both, :2]).max() < 0.01
        assert pixels(row.control).shape == (64, 64, 3)
        assert np.abs(pixels(row.control) - np.asarray(draw_pose(row.keypoints, 64, 0.03))).max() <= 1
        assert row.pose_id == ids.pose_id(row.source_id, row.keypoints)


def test_a_picture_that_was_squared_takes_its_keypoints_along(tmp_path: Path) -> None:
    """A bright dot at the left wrist of a wide picture must lie at the left wrist of the square."""
    from PIL import Image

    image = Image.new("RGB", (400, 200), (20, 20, 20))
    image.paste((255, 255, 255), (290, 140, 310, 160))
    (tmp_path / "images").mkdir()
    image.save(tmp_path / "images" / "wide.png")
    points = np.array([(10.0 * n, 100.0, 2) for n in range(17)])
    points[9, :2] = (300, 150)
    person = {"image_id": 1, "keypoints": points.ravel().tolist()}
    file = tmp_path / "poses.json"
    file.write_text(json.dumps({"images": [{"id": 1, "file_name": "wide.png"}], "annotations": [person]}))
    (row,) = find(str(file), sources(tmp_path / "images"))
    x, y, _ = row.keypoints[7]
    assert (x, y) == pytest.approx((0.75, 0.625))
    bright = np.argwhere(pixels(row.source_image).min(axis=2) > 200).mean(axis=0) + 0.5
    assert (y * 64, x * 64) == pytest.approx(tuple(bright), abs=0.6)


@pytest.mark.parametrize(
    ("people", "reason"),
    [(0, Reason.NO_PERSON), (2, Reason.SEVERAL_PEOPLE), (1, Reason.TOO_FEW_KEYPOINTS)],
)
def test_what_has_no_main_person_is_rejected(world: Path, tmp_path: Path, people: int, reason: Reason) -> None:
    row = sources(world / "images")[0]
    data = json.loads((world / "person_keypoints.json").read_text())
    image = next(i for i in data["images"] if Path(i["file_name"]).name == Path(row.path).name)
    mine = next(a for a in data["annotations"] if a["image_id"] == image["id"])
    if reason is Reason.TOO_FEW_KEYPOINTS:
        mine = {**mine, "keypoints": mine["keypoints"][:9] + [0] * 42}
    file = tmp_path / "poses.json"
    file.write_text(json.dumps({"images": [image], "annotations": [mine] * people}))
    (found,) = find(str(file), [row])
    assert (found.status, found.reason) == (Status.REJECTED, reason)
    assert found.control is None


def test_the_split_follows_source_and_seed(world: Path) -> None:
    row = sources(world / "images")[0]
    rows = [replace(row, source_id=f"{n:016x}") for n in range(200)]
    splits = [row.split for row in stage(None).expand(rows)]
    assert splits == [ids.split_of(row.source_id, 7, Splits()) for row in rows]
    assert splits != [row.split for row in stage(None, seed=8).expand(rows)]
    assert {*splits} == {"train", "validation", "test"}


def test_settings_change_with_what_the_poses_depend_on(world: Path, tmp_path: Path) -> None:
    file = tmp_path / "poses.json"
    file.write_bytes((world / "person_keypoints.json").read_bytes())
    before = stage(str(file)).settings()
    assert json.loads(json.dumps(before)) == before
    assert stage(str(world / "person_keypoints.json")).settings() == before  # the content counts, not the place
    file.write_text(file.read_text().replace('"image_id": 1,', '"image_id": 2,'))
    assert stage(str(file)).settings() != before
    assert stage(None).settings() != before
    assert stage(str(world / "person_keypoints.json"), poses=PoseSettings(min_keypoints=9)).settings() != before


def test_a_changed_file_is_read_anew(world: Path, tmp_path: Path) -> None:
    file = tmp_path / "poses.json"
    file.write_bytes((world / "person_keypoints.json").read_bytes())
    rows = sources(world / "images")
    assert any(row.ok for row in find(str(file), rows))
    file.write_text(
        json.dumps({"images": [{"id": row.path, "file_name": row.path} for row in rows], "annotations": []})
    )
    assert {row.reason for row in find(str(file), rows)} == {Reason.NO_PERSON}


def test_a_missing_file_is_the_user_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"poses: .*nowhere\.json: No such file"):
        stage(str(tmp_path / "nowhere.json")).settings()
    with pytest.raises(UserError):
        list(stage(str(tmp_path / "nowhere.json")).process([posed()]))


def test_what_breaks_is_failed_and_takes_nothing_along(world: Path) -> None:
    good, other = sources(world / "images")[:2]
    rows = find(str(world / "person_keypoints.json"), [replace(good, frame=[]), other])
    assert [row.status for row in rows] == [Status.FAILED, Status.OK]
    assert rows[0].error


def test_without_a_file_the_extractor_finds_the_poses(world: Path, weights: Path) -> None:
    asked = find(str(world / "person_keypoints.json"), sources(world / "images"))
    extractor = Model(load_profile("tiny").models.pose)
    found = find(None, sources(world / "images"), extractor=extractor)
    both = [(one, other) for one, other in zip(asked, found, strict=True) if one.ok and other.ok]
    assert len(both) >= 7
    assert np.mean([oks(np.asarray(one.keypoints), np.asarray(other.keypoints)) for one, other in both]) > 0.7
    assert stage(None, extractor=extractor).settings() != stage(None).settings()


def _turned(folder: Path, orientation: int, stated: tuple[int, int], points: np.ndarray) -> Posed:
    """The pose of a 60 x 40 picture that is stored so that ``orientation`` makes it upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (folder / "images").mkdir()
    Image.new("RGB", (40, 60) if orientation > 4 else (60, 40), "gray").save(folder / "images" / "a.jpg", exif=exif)
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": stated[0], "height": stated[1]}],
        "annotations": [{"image_id": 1, "keypoints": points.ravel().tolist()}],
    }
    (folder / "poses.json").write_text(json.dumps(data))
    (row,) = find(str(folder / "poses.json"), sources(folder / "images"))
    return row


UPRIGHT = np.array([(5.0 + 3 * n, 8.0 + 1.5 * n, 2) for n in range(17)])


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("scale", [1, 2])
def test_poses_of_the_unturned_picture_are_turned_with_it(
    tmp_path: Path, orientation: int, scale: int, caplog: pytest.LogCaptureFixture
) -> None:
    x, y, flag = UPRIGHT.T
    stored = {5: (y, x), 6: (y, 60 - x), 7: (40 - y, 60 - x), 8: (40 - y, x)}[orientation]
    raw = np.column_stack([*stored, flag]) * (scale, scale, 1)
    if orientation in (5, 7):  # whoever annotated it saw a mirror image
        raw = raw[[0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    row = _turned(tmp_path / "one", orientation, (40 * scale, 60 * scale), raw)
    told = [record.message for record in caplog.records]
    assert len(told) == 1 and "before EXIF turns them" in told[0]
    expected = _turned(tmp_path / "two", orientation, (60, 40), UPRIGHT)
    assert np.abs(np.array(row.keypoints) - np.array(expected.keypoints)).max() < 1e-6
    assert len(caplog.records) == 1


def test_sides_changed_over_around_an_upright_pose_are_put_right(tmp_path: Path) -> None:
    row = _turned(tmp_path, 6, (40, 60), UPRIGHT)
    x, y, _ = row.keypoints[0]
    assert (x * 60, y * 60 - 10) == pytest.approx((5, 8), abs=1e-3)


def test_a_source_without_an_entry_is_no_picture_without_a_person(world: Path, tmp_path: Path) -> None:
    rows = sources(world / "images")[:3]
    data = json.loads((world / "person_keypoints.json").read_text())
    data["images"] = [image for image in data["images"] if not image["file_name"].endswith(Path(rows[0].path).name)]
    (tmp_path / "poses.json").write_text(json.dumps(data))
    first, *others = find(str(tmp_path / "poses.json"), rows)
    assert (first.status, first.reason) == (Status.REJECTED, Reason.NOT_IN_POSE_FILE)
    assert Reason.NOT_IN_POSE_FILE not in {row.reason for row in others}


def test_a_broken_entry_is_refused_and_says_why(tmp_path: Path) -> None:
    row = _turned(tmp_path, 1, (60, 40), np.vstack([UPRIGHT[:16], [(5, 5, 1)]]))
    assert row.ok
    data = json.loads((tmp_path / "poses.json").read_text())
    data["images"].append({"id": 2, "file_name": "b.jpg"})
    data["annotations"].append({"image_id": 2, "keypoints": [float("nan")] * 51})
    (tmp_path / "poses.json").write_text(json.dumps(data))
    Image.new("RGB", (60, 40), "red").save(tmp_path / "images" / "b.jpg")
    good, bad = find(str(tmp_path / "poses.json"), sources(tmp_path / "images"))
    assert good.ok
    assert (bad.reason, bad.detail) == (Reason.BAD_POSE_ENTRY, "keypoints that are not finite")


def test_scores_face_the_least_confidence(tmp_path: Path) -> None:
    points = UPRIGHT.copy()
    points[:, 2] = 0.5
    points[9, 2] = 0.2
    row = _turned(tmp_path, 1, (60, 40), points)
    assert [row.keypoints[number][2] for number in (0, 1, 7)] == [0.5, 0.5, 0.0]


def test_joints_on_the_padding_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wide picture: what an extractor guesses above and below it is nobody's."""
    from PIL import Image

    Image.new("RGB", (400, 200), (20, 20, 20)).save(tmp_path / "wide.png")
    guesses = np.column_stack([np.full(18, 0.5), np.linspace(0, 1, 18), np.full(18, 0.9)])
    monkeypatch.setattr("pipeline.models.extractors.people", lambda model, image: [guesses])
    (row,) = find(None, sources(tmp_path), extractor=Model(load_profile("tiny").models.pose))
    inside = (guesses[:, 1] >= 0.25) & (guesses[:, 1] <= 0.75)
    assert (np.asarray(row.keypoints)[:, 2] > 0).tolist() == inside.tolist()


def test_photos_are_named_once_where_the_extractor_knows_drawn_figures_only(
    world: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from PIL import Image

    monkeypatch.setattr("pipeline.stages.poses._warned", threading.Event())
    tiny = Model(load_profile("tiny").models.pose)
    find(None, sources(world / "images"), extractor=tiny)
    assert not caplog.records
    (tmp_path / "in").mkdir()
    for seed in range(2):
        noise = np.random.default_rng(seed).integers(0, 256, (90, 90, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "in" / f"{seed}.png")
    poses = {"images": [{"id": n, "file_name": f"{n}.png"} for n in range(2)], "annotations": []}
    (tmp_path / "poses.json").write_text(json.dumps(poses))
    find(str(tmp_path / "poses.json"), sources(tmp_path / "in"), extractor=tiny)
    assert not caplog.records  # the poses come from the file
    find(None, sources(tmp_path / "in"), extractor=tiny)
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("0.png looks like a photo")
    assert "--profile photos" in said
    assert "\n" not in said
