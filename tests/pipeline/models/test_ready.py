"""Files that are missing, cut short or others than the profile says are told before anything is loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_layout import hub_profile

from pipeline.config import ModelFile, ModelRef, UserError
from pipeline.models.ready import check_files
from pipeline.models.resolve import Model

UNET = "unet/diffusion_pytorch_model.fp16.safetensors"


@pytest.fixture
def root(hub: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(hub["sd15"], tmp_path / "hub"))


def base(root: Path, **changes: object) -> Model:
    return Model(hub_profile("sd15").models.base.model_copy(update=changes), str(root))


def folder(root: Path) -> Path:
    return root / hub_profile("sd15").models.base.repo


def test_whole_files_pass_and_are_counted(root: Path) -> None:
    for role, ref in hub_profile("sd15").models.roles():
        if role != "sam":  # its checkpoints are too large to be made up
            assert check_files(role, Model(ref, str(root))) > 5000, role
    weights = ["unet", "vae", "text_encoder"]
    sizes = [path.stat().st_size for part in weights for path in (folder(root) / part).glob("*.safetensors")]
    assert check_files("base", base(root)) == sum(sizes)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda whole: whole[:5000], "was cut short"),
        (lambda whole: whole[:-1], "was cut short"),
        (lambda whole: b"", "has 0 bytes"),
        (lambda whole: (20).to_bytes(8, "little") + b"<html>not found</html>", "is no safetensors file"),
    ],
)
def test_a_file_that_is_not_whole(root: Path, spoil: Callable[[bytes], bytes], said: str) -> None:
    path = folder(root) / UNET
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=rf"stable-diffusion-v1-5: .*{UNET} .*{said}") as told:
        check_files("base", base(root))
    assert "spotdiff models fetch" in str(told.value)


def test_a_part_or_a_variant_that_is_not_there(root: Path) -> None:
    with pytest.raises(UserError, match="no safetensors of variant fp32 in "):
        check_files("base", base(root, variant="fp32"))
    shutil.rmtree(folder(root) / "vae")
    with pytest.raises(UserError, match=r"no safetensors of variant fp16 in .*vae"):
        check_files("base", base(root))
    (folder(root) / "model_index.json").unlink()
    with pytest.raises(UserError, match=r"model_index\.json: "):
        check_files("base", base(root))


def test_what_the_profile_pins_is_compared(root: Path) -> None:
    size = (folder(root) / UNET).stat().st_size
    check_files("base", base(root, files={UNET: ModelFile(bytes=size)}))
    with pytest.raises(UserError, match=rf"has {size} bytes, not {size + 1}"):
        check_files("base", base(root, files={UNET: ModelFile(bytes=size + 1)}))
    with pytest.raises(UserError, match=r"other\.bin is missing"):
        check_files("base", base(root, files={"other.bin": ModelFile(bytes=1)}))


def test_a_pinned_file_below_a_subfolder_is_found(root: Path) -> None:
    checker = hub_profile("sd15").models.safety_checker
    assert checker is not None
    name = "safety_checker/model.fp16.safetensors"
    size = (root / checker.repo / name).stat().st_size
    pinned = checker.model_copy(update={"files": {name: ModelFile(bytes=size)}})
    assert check_files("safety_checker", Model(pinned, str(root))) == size


def test_the_hash_of_a_single_file_stands_for_a_revision() -> None:
    sha = "a" * 64
    ref = ModelRef(repo="a/sam", license="MIT", checkpoint="sam.pth", files={"sam.pth": ModelFile(bytes=1, sha256=sha)})
    assert Model(ref).fingerprint() == sha
    with pytest.raises(UserError, match="no revision"):
        Model(ref.model_copy(update={"files": {}})).fingerprint()
