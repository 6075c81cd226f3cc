"""Makes a trained UNet larger without changing what it computes (Net2Net, Chen et al. 2016).

A longer training then begins where the smaller model ended. The ControlNet stays as it is: it adds to the skips, and
these are the same.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel

from tinyworld.training.diffusion import build_unet


@torch.no_grad()
def grown(small: UNet2DConditionModel) -> UNet2DConditionModel:
    """A UNet of today's size with the weights of an older one; its new attentions hand on what they get.

    Their output projections are at zero, so they learn first, and what stands before them as soon as they have moved.
    """
    large = build_unet(small.config.in_channels)
    known = small.state_dict()
    _, unexpected = large.load_state_dict(known, strict=False)
    if unexpected:
        raise ValueError(f"the UNet to grow has parameters that none has today: {', '.join(unexpected)}")
    for name, parameter in large.named_parameters():
        if name not in known and ".proj_out." in name:
            parameter.zero_()
    return large
