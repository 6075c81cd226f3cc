"""The grown generator computes what the small one did, and all of its new parts learn."""

import shutil

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn
from typer import BadParameter

from tinyworld.train import WEIGHTS, Trainable, main
from tinyworld.training.clip import WIDTH
from tinyworld.training.diffusion import ControlledUNet, build_controlnet, build_unet, shipped
from tinyworld.training.growth import grown
from tinyworld.training.save import save_half

OLDER = {
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}
"""What the UNet was before it had attention at 16 x 16."""


@pytest.fixture
def small():
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config({**build_unet().config, **OLDER})
    controlnet = build_controlnet(unet)
    for convolution in controlnet.controlnet_down_blocks:
        nn.init.normal_(convolution.weight, std=0.2)  # wide open: what it adds must not get lost in rounding
    return ControlledUNet(unet, controlnet)


@pytest.fixture
def given():
    torch.manual_seed(1)
    return torch.randn(3, 4, 16, 16), torch.tensor([10, 500, 999]), torch.randn(3, 48, WIDTH), torch.rand(3, 3, 64, 64)


@torch.no_grad()
def test_it_computes_the_same_with_control_and_without(small, given):
    *inputs, control = given
    large = ControlledUNet(grown(small.unet), small.controlnet)
    for picture in (None, control):
        assert (large(*inputs, picture) - small(*inputs, picture)).abs().max() < 1e-4
    assert (small(*inputs, control) - small(*inputs, None)).abs().max() > 1e-2


def test_it_is_of_the_make_that_is_built_today(small):
    large = grown(small.unet)
    assert {k: large.config[k] for k in OLDER} == {k: build_unet().config[k] for k in OLDER}
    assert len(large.state_dict()) > len(small.unet.state_dict())


@torch.no_grad()
def test_what_is_grown_already_stays_as_it_is(given):
    *inputs, _ = given
    torch.manual_seed(2)
    unet = build_unet()
    again = grown(unet)
    controlnet = build_controlnet(unet)
    assert torch.equal(
        ControlledUNet(unet, controlnet)(*inputs, None), ControlledUNet(again, controlnet)(*inputs, None)
    )


def test_all_new_parts_learn(small, given):
    """After the first step, for what stands before a zero learns only when that has moved."""
    noisy, steps, text, _ = given
    large = grown(small.unet)
    optimizer = torch.optim.AdamW(large.parameters(), lr=1e-3, weight_decay=0)
    before = {name: value.clone() for name, value in large.state_dict().items()}
    for _ in range(3):
        optimizer.zero_grad()
        large(noisy, steps, encoder_hidden_states=text).sample.pow(2).mean().backward()
        optimizer.step()
    unmoved = [name for name, value in large.state_dict().items() if torch.equal(value, before[name])]
    assert not unmoved


def test_a_unet_with_more_than_is_built_today_is_refused():
    other = UNet2DConditionModel.from_config({**build_unet().config, "down_block_types": ("CrossAttnDownBlock2D",) * 3})
    with pytest.raises(ValueError, match=r"none has today: down_blocks"):
        grown(other)


def test_only_the_diffusion_model_grows(tmp_path):
    with pytest.raises(BadParameter, match="only diffusion can grow"):
        main(Trainable.POSE, tmp_path, tmp_path, steps=1, scenes=4, threads=1, seed=None, tune=False, grow=True)


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_a_few_steps_from_smaller_weights_save_a_grown_unet_that_loads(tmp_path):
    """The pipeline that is saved has the new attentions, trained; what was there has barely moved."""
    out, work = tmp_path / "weights", tmp_path / "work"
    shutil.copytree(WEIGHTS, out)
    start = shipped(WEIGHTS).generator.unet
    older = UNet2DConditionModel.from_config({**start.config, **OLDER})
    older.load_state_dict({name: value for name, value in start.state_dict().items() if name in older.state_dict()})
    save_half(older, out / "diffusion" / "unet")
    main(Trainable.DIFFUSION, out, work, steps=4, scenes=32, threads=1, seed=None, tune=False, grow=True)
    after = shipped(out).generator.unet
    assert tuple(after.config["up_block_types"]) == build_unet().config["up_block_types"]
    known = older.state_dict()
    for name, value in after.named_parameters():
        if name in known:
            assert (value - known[name]).abs().max() < 0.05, name
        elif ".proj_out." in name:
            assert value.abs().max() > 0, name
    assert (work / "diffusion-grown.pt").exists()
