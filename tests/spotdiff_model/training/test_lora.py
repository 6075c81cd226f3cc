"""The LoRA can be put aside: what is distilled comes from the UNet as it was."""

from __future__ import annotations

import torch

from pipeline.config import load_profile
from pipeline.models.resolve import Model
from spotdiff_model.hub import load_diffusion
from spotdiff_model.training.lora import add_lora, lora_parameters, without_lora


def test_without_its_lora_a_unet_is_what_it_was() -> None:
    unet = load_diffusion(Model(load_profile("tiny").models.base)).unet
    generator = torch.Generator().manual_seed(0)
    noisy, states = torch.randn(1, 4, 16, 16, generator=generator), torch.randn(1, 8, 128, generator=generator)

    def predict() -> torch.Tensor:
        with torch.no_grad():
            return torch.as_tensor(unet(noisy, torch.tensor([500]), encoder_hidden_states=states).sample)

    before = predict()
    with without_lora(unet) as plain:
        assert plain is unet
        assert torch.equal(predict(), before)
    add_lora(unet, 2)
    for parameter in lora_parameters(unet):
        torch.nn.init.constant_(parameter, 0.1)
    changed = predict()
    assert not torch.allclose(changed, before, atol=1e-3)
    with without_lora(unet):
        assert torch.allclose(predict(), before, atol=1e-6)
    assert torch.equal(predict(), changed)
