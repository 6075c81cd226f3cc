"""The encoder as a module, and as files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import save

from pipeline.config import UserError, load_profile
from spotdiff_model.config import EncoderConfig, base_models
from spotdiff_model.model import SpotDiffEncoder


def _config(**changes: object) -> EncoderConfig:
    models = base_models(load_profile("tiny"))
    sizes = {"layers": (1, 4), "channels": 192, "grid": 8, "token_dim": 128, "num_pseudo_tokens": 3, "width": 16}
    return EncoderConfig(**{"models": models, **sizes, **changes})


def _tokens(count: int) -> torch.Tensor:
    return torch.randn(count, 65, 2 * 192, generator=torch.Generator().manual_seed(0))


def test_shapes() -> None:
    output = SpotDiffEncoder(_config())(_tokens(5))
    assert output.subject.shape == output.pose.shape == output.background.shape == (5, 128)
    assert output.keypoints.shape == (5, 18, 3)
    assert output.pseudo_tokens.shape == (5, 3, 128)
    assert ((output.keypoints[..., 2] >= 0) & (output.keypoints[..., 2] <= 1)).all()


def test_without_experts_there_is_nothing_to_take_out() -> None:
    encoder = SpotDiffEncoder(_config(experts=False))
    output = encoder(_tokens(5))
    assert output.pose.shape == output.background.shape == (5, 0)
    assert not output.keypoints.any()
    assert not [name for name, _ in encoder.named_parameters() if "expert" in name]


def test_clips_summary_reaches_the_background_only() -> None:
    """Pose and subject are read off the patches."""
    encoder = SpotDiffEncoder(_config()).eval()
    tokens = _tokens(4)
    other = tokens.clone()
    other[:, 0] = other[:, 0].flip(-1)
    before, after = encoder(tokens), encoder(other)
    assert torch.equal(before.pose, after.pose)
    assert torch.equal(before.subject, after.subject)
    assert not torch.equal(before.background, after.background)


def test_the_subject_is_read_where_the_joints_are() -> None:
    """What stands far from all joints, as the pose expert sees them, leaves no trace."""
    encoder = SpotDiffEncoder(_config())
    head, tokens = encoder.subject_head, _tokens(2)
    shares = torch.zeros(2, 64, 18)
    shares[:, 9] = 1  # second row, second column
    there = torch.ones(2, 18)
    far, near = tokens.clone(), tokens.clone()
    far[:, 1 + 63] = far[:, 1 + 63].flip(-1)
    near[:, 1 + 9] = near[:, 1 + 9].flip(-1)
    before = head(tokens, shares, there)
    assert torch.equal(before, head(far, shares, there))
    assert not torch.allclose(before, head(near, shares, there))


def test_saved_and_loaded_it_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    encoder = SpotDiffEncoder(_config(manifest_digest="abc")).eval()
    output = encoder(_tokens(50))
    encoder.removal.fit(output.raw_subject.detach(), output.nuisance.detach())
    assert encoder.removal.removed.any()
    encoder.save_pretrained(tmp_path, model_card_kwargs={"metrics": {"R@1": 0.5}})
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    loaded = SpotDiffEncoder.from_pretrained(tmp_path)
    assert loaded.config == encoder.config
    for before, after in zip(encoder(_tokens(3)), loaded(_tokens(3)), strict=True):
        assert torch.equal(before, after)
    card = ModelCard.load(tmp_path / "README.md")
    assert "package:tiny/weights/clip" in card.text and "abc" in card.text and "| R@1 | 0.5 |" in card.text
    assert "our reconstruction" in card.text.lower()


def test_a_folder_that_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        SpotDiffEncoder.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(_config().model_dump_json())
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        SpotDiffEncoder.from_pretrained(tmp_path)
    for broken in (b"text", save({"head": torch.zeros(1)})):
        (tmp_path / "model.safetensors").write_bytes(broken)
        with pytest.raises(UserError, match=r"model\.safetensors does not fit config\.json"):
            SpotDiffEncoder.from_pretrained(tmp_path)


def test_pictures_go_through_the_vision_encoder(weights: Path) -> None:
    encoder = SpotDiffEncoder(_config()).eval()
    images = [Image.new("RGB", (64, 64), color) for color in ("red", "blue", "green")]
    output = encoder.encode_images(images, batch_size=2)
    assert output.subject.shape == (3, 128)
    alone = encoder.encode_images(images[2:])
    assert torch.allclose(output.subject[2:], alone.subject, atol=1e-5)
    with pytest.raises(UserError, match="8 x 8 patches of 192 channels"):
        SpotDiffEncoder(_config(grid=16)).encode_images(images)


def test_saved_weights_of_earlier_versions_fit() -> None:
    """Names, shapes and first values of the weights, and what they make of tokens, as of version 0.1.0.

    Processors round differently, so what comes out is held to six digits instead of to the last bit. Keypoints, and
    f_p with them, have been read twice as sharply since.
    """
    torch.manual_seed(0)
    encoder = SpotDiffEncoder(_config(num_pseudo_tokens=8, layers=(0, 2, 4))).eval()
    state = encoder.state_dict()
    names = "\n".join(f"{name} {tuple(value.shape)}" for name, value in state.items())
    assert len(state) == 69
    assert hashlib.sha256(names.encode()).hexdigest() == (
        "3113fd1c2a84dbf297b1d527666480d9daa03a0cc73327aaedeefe443fd5b658"
    )
    assert hashlib.sha256(b"".join(value.numpy().tobytes() for value in state.values())).hexdigest() == (
        "a0720458b742cd4e83c8f2b04631a8c4c0ea57e492d58dba13c648ad2c18275a"
    )
    with torch.no_grad():
        output = encoder(torch.randn(2, 65, 3 * 192))
    spread = {name: (value.std().item(), value.flatten()[-1].item()) for name, value in output._asdict().items()}
    assert spread == {
        "subject": pytest.approx((0.99917811, 0.71020401), rel=1e-5),
        "pose": pytest.approx((0.61187065, -0.33394608), rel=1e-5),
        "background": pytest.approx((0.99686629, 0.80067581), rel=1e-5),
        "keypoints": pytest.approx((0.23557492, 0.96609425), rel=1e-5),
        "pseudo_tokens": pytest.approx((0.0013055535, 0.00041507778), rel=1e-5),
        "raw_subject": pytest.approx((0.99917811, 0.71020401), rel=1e-5),
        "log_heatmap": pytest.approx((0.58431882, -3.35165405), rel=1e-5),
        "votes": pytest.approx((0.29461238, 0.96923757), rel=1e-5),
    }


def test_a_config_of_an_earlier_version_is_read() -> None:
    config = _config()
    old = config.model_dump(mode="json")
    old["num_words"], old["word_dim"] = old.pop("num_pseudo_tokens"), old.pop("token_dim")
    assert EncoderConfig.model_validate(old) == config
