"""Which entry of a pose file speaks of which source."""

from __future__ import annotations

import time
import unicodedata

import pytest

from pipeline.config import UserError
from pipeline.inputs.coco import AnnotatedImage
from pipeline.inputs.matching import match
from pipeline.inputs.pose_file import PoseFile


def found(names: list[str], paths: list[str], folder: str = "/data/photos") -> dict[str, str]:
    """Entries by path, where the pose file has ``names`` and the sources lie below ``folder``."""
    return match(
        PoseFile("poses.json", {name: [AnnotatedImage()] for name in names}), [(p, f"{folder}/{p}") for p in paths]
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("w.png", "w.png"),
        ("w.png", "cam/w.png"),
        ("images/w.png", "w.png"),
        ("/home/ann/photos/cam/w.png", "cam/w.png"),
        ("./cam/w.png", "cam/w.png"),
        ("cam\\w.png", "cam/w.png"),
        ("C:\\photos\\w.png", "w.png"),
        ("my%20photo.png", "my photo.png"),
        ("my photo.png", "my%20photo.png"),
        (unicodedata.normalize("NFD", "é.png"), unicodedata.normalize("NFC", "é.png")),
        (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
        ("W.PNG", "w.png"),
        ("1a2b3c4d-w.png", "w.png"),
        ("images/1a2b3c4d-my_photo.png", "my photo.png"),
        ("/data/upload/3/1a2b3c4d-w.png", "w.png"),
        ("/data/local-files/?d=photos/w.png", "w.png"),
        ("https://example.org/photos/w.png?token=1", "w.png"),
        ("s3://bucket/photos/w.png", "w.png"),
    ],
)
def test_names_as_tools_write_them(name: str, path: str) -> None:
    assert found([name, name.replace("w.", "v.").replace("photo.", "other.")], [path]) == {path: name}


def test_a_name_with_a_percent_sign_is_itself_first() -> None:
    names = ["a%20b.png", "a b.png"]
    assert found(names, names) == {name: name for name in names}


def test_the_nearest_spelling_wins() -> None:
    assert found(["a.png", "A.png"], ["a.png"]) == {"a.png": "a.png"}
    assert found(["cam/w.png", "w.png"], ["cam/w.png"]) == {"cam/w.png": "cam/w.png"}


def test_a_bare_name_is_not_shared_out_among_folders() -> None:
    assert found(["w.png", "x.png"], ["cam_a/w.png", "cam_b/w.png", "x.png"]) == {"x.png": "x.png"}
    assert found(["w.png"], ["cam_a/w.png", "w.png"]) == {"w.png": "w.png"}


def test_a_photo_in_another_folder_is_another_photo() -> None:
    names = ["cam_a/w.png", "cam_b/v.png"]
    assert found(names, ["cam_b/w.png", "cam_b/v.png"]) == {"cam_b/v.png": "cam_b/v.png"}
    assert found(names, ["w.png", "v.png"], "/data/cam_b") == {"v.png": "cam_b/v.png"}
    with pytest.raises(UserError):
        found(["cam_a/w.png"], ["cam_b/w.png"])
    with pytest.raises(UserError):
        found(["images/w.png"], ["cam_b/w.png"])


def test_names_that_fit_equally_well_are_not_guessed_at() -> None:
    with pytest.raises(UserError, match=r"not clear .* let file_name say the folder"):
        found(["cam_a/w.png", "cam_a/W.PNG"], ["W.png"])
    with pytest.raises(UserError, match=r"'w\.png' may be 'cam_a/w\.png' or another one"):
        found(["w.png"], ["cam_a/w.png", "cam_b/w.png"])


def test_where_nothing_fits_one_name_of_each_side_is_shown() -> None:
    with pytest.raises(
        UserError, match=r"no entry for any source: it names e\.g\. 'x\.png', .* e\.g\. 'w\.png'"
    ) as told:
        found(["x.png"], ["w.png"])
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="it names none"):
        found([], ["w.png"])


def test_sources_without_an_entry_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    found(["only-here.png"], ["only-here.png", *(f"{n}.png" for n in range(50))])
    assert len(caplog.records) == 1
    assert "no entry for 50 of 51 sources, such as '0.png'" in caplog.text


def test_many_names_in_seconds() -> None:
    names = [f"images/{n % 100}/1a2b3c4d-{n}.png" for n in range(20_000)]
    paths = [f"{n % 100}/{n}.png" for n in range(20_000)]
    started = time.process_time()
    assert len(found(names, paths)) == 20_000
    assert time.process_time() - started < 20
