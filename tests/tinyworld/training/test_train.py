"""The whole training, a few steps each: every model is trained, saved in hub layout and loads with its own class."""

import json

import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionInpaintPipeline, StableDiffusionPipeline
from safetensors import safe_open
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from pipeline.imaging.openpose18 import MIRRORED
from pipeline.tiny.pose_net import load_body
from pipeline.tiny.sam import build_sam
from tinyworld.train import Trainable, main


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    main(Trainable.ALL, folder / "weights", folder / "work", steps=2, scenes=64, threads=1, seed=None, tune=False)
    return folder / "weights"


@pytest.mark.slow
def test_everything_loads_with_the_libraries_own_classes(trained):
    base = StableDiffusionPipeline.from_pretrained(trained / "diffusion", dtype=torch.float32)
    inpaint = StableDiffusionInpaintPipeline.from_pretrained(trained / "inpainting", dtype=torch.float32)
    controlnet = ControlNetModel.from_pretrained(trained / "controlnet")
    clip = CLIPModel.from_pretrained(trained / "clip", dtype=torch.float32)
    assert load_body(trained / "pose", MIRRORED).config.grid == 16
    assert build_sam(trained / "sam").image_encoder.img_size == 64
    assert (base.unet.config.in_channels, inpaint.unet.config.in_channels) == (4, 9)
    assert base.vae_scale_factor == 4
    assert base.scheduler.config.prediction_type == "v_prediction"
    assert controlnet.config.cross_attention_dim == clip.config.text_config.hidden_size
    assert CLIPImageProcessor.from_pretrained(trained / "clip").crop_size == {"height": 64, "width": 64}
    assert len(CLIPTokenizer.from_pretrained(trained / "clip")) == clip.config.text_config.vocab_size


@pytest.mark.slow
def test_the_diffusion_models_read_prompts_with_clips_own_text_encoder(trained):
    base = StableDiffusionPipeline.from_pretrained(trained / "diffusion", dtype=torch.float32)
    clip = CLIPModel.from_pretrained(trained / "clip", dtype=torch.float32)
    ids = base.tokenizer(["a person wearing a red hat"], return_tensors="pt").input_ids
    with torch.no_grad():
        mine, theirs = base.text_encoder(ids).last_hidden_state, clip.text_model(input_ids=ids).last_hidden_state
    assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.slow
def test_polishing_changes_the_decoder_only_and_of_both_pipelines(trained):
    encoder = json.loads((trained.parent / "work" / "autoencoder" / "config.json").read_text())
    before = _weights(trained.parent / "work" / "autoencoder" / "diffusion_pytorch_model.safetensors")
    for name in ("diffusion", "inpainting"):
        after = _weights(trained / name / "vae" / "diffusion_pytorch_model.safetensors")
        changed = {key for key in before if not torch.equal(before[key].half(), after[key])}
        assert changed
        assert all(key.startswith(("decoder.", "post_quant_conv.")) for key in changed)
        assert json.loads((trained / name / "vae" / "config.json").read_text())["scaling_factor"] == pytest.approx(
            encoder["scaling_factor"]
        )


@pytest.mark.slow
def test_weights_ship_in_half_precision(trained):
    for path in trained.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in _weights(path).values() if tensor.is_floating_point()} == {torch.float16}


def _weights(path):
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
