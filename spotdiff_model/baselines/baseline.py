"""The interface of all baselines: ``encode(images)`` for those that have features, ``generate(requests)`` for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.data import Batch, Shown
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.evaluation.generation.generator import PictureProgress, in_batches
from spotdiff_model.evaluation.generation.requests import CLASS_NOUN, Request
from spotdiff_model.losses import noise_prediction
from spotdiff_model.placeholder import PLACEHOLDER, tokenize

Parts = dict[str, Tensor]
_KV = (".attn2.to_k.weight", ".attn2.to_v.weight")


@dataclass(frozen=True)
class Condition:
    """What the UNet is told of N pictures.

    Attributes:
        states: The text encoder's ``[N, T, D]``.
        tokens: Image tokens ``[N, 1, n, D]`` of each decoupled cross-attention; empty: none.
    """

    states: Tensor
    tokens: tuple[Tensor, ...] = ()


class Baseline(nn.Module):
    """A method of others, in small.

    A subclass is one file: what it adds in ``__init__``, :meth:`condition`, and what differs of the rest. Parameters
    with a gradient are what is trained and saved.

    Attributes:
        title: With "(our reimplementation)".
        reads: What training reads beside pictures: the table's column "reads in training".
        defaults: Of :class:`~spotdiff_model.baselines.config.BaselineConfig`.
        has_features: Whether :meth:`encode` is there.
        scale: How much of the subject is let in; 0: the base model.
    """

    title: ClassVar[str]
    reads: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[Mapping[str, Any]] = {}
    has_features: ClassVar[bool] = True

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__()
        self.saved, self.frozen, self.config = saved, frozen, saved.config
        self.unet = frozen.diffusion.unet
        self.scale = saved.config.scale
        part = saved.config.unet
        for name, parameter in self.unet.named_parameters():
            parameter.requires_grad_(part == "full" or (part == "kv" and name.endswith(_KV)))

    def features(self, shown: Shown) -> Tensor:
        """Subject features ``[N, D]``."""
        raise NotImplementedError(f"{self.title} has no features")

    def condition(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        """What the UNet is told.

        Args:
            shown: One picture of its subject for each prompt.
            prompts: With ``S*``.
        """
        raise NotImplementedError

    def loss(self, batch: Batch, step: int) -> Parts:
        """The parts of a training step's loss, weighted; ``step`` counts from 0."""
        condition = self.training_condition(batch, step)
        return {"noise": noise_prediction(self.denoise(batch, condition), self.wanted(batch))}

    def training_condition(self, batch: Batch, step: int) -> Condition:
        """What the UNet is told in training; here conditions may be dropped."""
        return self.condition(batch.references, batch.prompts)

    def resting(self, step: int) -> Sequence[nn.Parameter]:
        """What is not trained in a step, of what is trained at all: for methods with stages."""
        return ()

    def denoise(self, batch: Batch, condition: Condition) -> Tensor:
        """The UNet's prediction for a batch."""
        noisy = self.frozen.diffusion.scheduler.add_noise(batch.latents, batch.noise, batch.times)
        more = {"added_cond_kwargs": {"image_embeds": list(condition.tokens)}} if condition.tokens else {}
        predicted: Tensor = self.unet(noisy, batch.times, encoder_hidden_states=condition.states, **more).sample
        return predicted

    def wanted(self, batch: Batch) -> Tensor:
        """What it is to predict."""
        return self.frozen.wanted(batch.latents, batch.noise, batch.times)

    def unconditional(self, count: int, condition: Condition) -> Condition:
        """What the UNet is told in guidance's other half."""
        negative = self.frozen.diffusion.prompt_conditions([self.saved.sampling.negative_prompt] * count).states
        return Condition(negative, tuple(torch.zeros_like(tokens) for tokens in condition.tokens))

    @torch.no_grad()
    def encode(self, images: Sequence[Image.Image], masks: np.ndarray | None = None) -> np.ndarray:
        """Features ``[N, D]`` of RGB pictures; without masks the whole picture counts as subject."""
        self.eval()
        if masks is None:
            masks = np.ones((len(images), images[0].height, images[0].width), bool)
        found: np.ndarray = self.features(Shown(list(images), masks)).float().cpu().numpy()
        return found

    @torch.no_grad()
    def generate(self, requests: Sequence[Request], progress: PictureProgress) -> list[Image.Image]:
        """One picture for each request, in order."""
        self.eval()

        def make(asked: Sequence[Request], **arguments: Any) -> list[Image.Image]:
            shown = Shown([r.reference for r in asked], np.stack([r.reference_mask for r in asked]))
            condition = self.condition(shown, [request.prompt for request in asked])
            without = self.unconditional(len(asked), condition)
            pairs = zip(without.tokens, condition.tokens, strict=True)
            tokens = [torch.cat(each) for each in pairs]
            more: dict[str, Any] = {"ip_adapter_image_embeds": tokens} if tokens else {}
            return self.frozen.denoiser(
                prompt_embeds=condition.states, negative_prompt_embeds=without.states, **more, **arguments
            )

        return in_batches(make, requests, self.saved.sampling.line_width, progress)

    def described(self) -> dict[str, Any]:
        """For the protocol of an evaluation."""
        return {
            "title": self.title,
            "reads_in_training": list(self.reads),
            "data": {"same": "native", "other": "paired"}[self.config.reference],
            **self.config.model_dump(mode="json", exclude={"output_dir", "models_root"}),
            "scale": self.scale,
            "costs": self.saved.costs,
        }

    def trained(self) -> dict[str, nn.Parameter]:
        """What is trained, and saved, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def said(self, prompts: Sequence[str]) -> Tensor:
        """States of prompts with the class noun for ``S*``."""
        return self.frozen.diffusion.prompt_conditions(
            [prompt.replace(PLACEHOLDER, CLASS_NOUN) for prompt in prompts]
        ).states

    def with_words(self, prompts: Sequence[str], words: Tensor) -> Tensor:
        """States of prompts with ``words`` ``[N, k, W]`` at ``S*``; scale 0: with the class noun there."""
        if self.scale == 0:
            return self.said(prompts)
        diffusion = self.frozen.diffusion
        tokens = tokenize(diffusion.text.tokenizer, prompts, words.shape[1]).to(self.frozen.device)
        return diffusion.text.conditions(tokens, words).states
