"""What methods share that are trained anew on each subject: a few hundred steps on one to four pictures of it."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pipeline import ids
from spotdiff_model.baselines.baseline import Baseline
from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.evaluation.generation.generator import PictureProgress, in_batches
from spotdiff_model.evaluation.generation.requests import Request

TEMPLATES = ("{}", "a picture of {}", "a photo of {}", "a good photo of {}", "a close-up of {}")
"""What is said of a subject's own pictures, whose background nobody has described."""


class PerSubject(Baseline):
    """Trained when pictures are asked for, on ``config.pictures`` of them, and thrown away after.

    Attributes:
        spent: Seconds and megabytes of each subject so far.
    """

    has_features: ClassVar[bool] = False

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        self.spent: list[tuple[float, float]] = []

    @abstractmethod
    def begin(self, generator: torch.Generator) -> Iterable[nn.Parameter]:
        """Sets everything back to the base model; returns what is to be trained on the next subject."""

    def reset(self) -> None:
        """Sets what is shared with others back to the base model."""

    @abstractmethod
    def states(self, prompts: Sequence[str]) -> Tensor:
        """The text encoder's states of prompts with ``S*``."""

    def extra_loss(self, generator: torch.Generator) -> Tensor | None:
        """What is added to a step's noise prediction loss."""
        return None

    def fit(self, pictures: Sequence[Image.Image], name: str) -> None:
        """Trains on one subject.

        Args:
            pictures: Of it.
            name: Settles noise and batches, with the seed.
        """
        began = time.perf_counter()
        generator = torch.Generator().manual_seed(int(ids.digest(["fit", self.config.seed, name])[:15], 16))
        with torch.enable_grad():
            parameters = list(self.begin(generator))
            decay = self.config.adam_weight_decay
            optimizer = torch.optim.AdamW(parameters, lr=self.config.learning_rate, weight_decay=decay)
            latents = self.frozen.diffusion.latents(pictures).float()
            for _ in range(self.config.max_train_steps):
                loss = self._noise_loss(latents, generator)
                extra = self.extra_loss(generator)
                (loss if extra is None else loss + extra).backward()
                torch.nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
        size = sum(parameter.numel() * parameter.element_size() for parameter in parameters) / 2**20
        self.spent.append((time.perf_counter() - began, size))

    def _noise_loss(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        count = self.config.train_batch_size
        rows = torch.randint(len(latents), (count,), generator=generator)
        said = torch.randint(len(TEMPLATES), (count,), generator=generator).tolist()
        prompts = [TEMPLATES[number].format("S*") for number in said]
        return self.noise_loss(latents[rows.to(latents.device)], self.states(prompts), generator)

    def noise_loss(self, latents: Tensor, states: Tensor, generator: torch.Generator) -> Tensor:
        """The noise prediction loss of these latents ``[B, C, h, w]`` with these prompts' states."""
        scheduler = self.frozen.diffusion.scheduler
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        times = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), generator=generator)
        times = times.to(latents.device)
        noisy = scheduler.add_noise(latents, noise, times)
        predicted = self.unet(noisy, times, encoder_hidden_states=states).sample
        return nn.functional.mse_loss(predicted, self.frozen.wanted(latents, noise, times))

    def generate(self, requests: Sequence[Request], progress: PictureProgress) -> list[Image.Image]:
        """Subject by subject: fits, then makes all pictures of it."""
        self.eval()
        made: dict[int, Image.Image] = {}
        for subject in dict.fromkeys(request.subject for request in requests):
            places = [place for place, request in enumerate(requests) if request.subject == subject]
            asked = [requests[place] for place in places]
            if self.scale:
                pictures = asked[0].examples or (asked[0].reference,)
                self.fit(pictures[: self.config.pictures], subject)
            else:
                self.reset()
            with torch.no_grad():
                images = in_batches(self._make, asked, self.saved.sampling.line_width, lambda *_: None)
            made.update(zip(places, images, strict=True))
            progress(len(made), len(requests))
        self.reset()
        return [made[place] for place in range(len(requests))]

    def _make(self, asked: Sequence[Request], **arguments: Any) -> list[Image.Image]:
        prompts = [request.prompt for request in asked]
        states = self.states(prompts) if self.scale else self.said(prompts)
        negative = self.frozen.diffusion.prompt_conditions([self.saved.sampling.negative_prompt] * len(asked)).states
        return self.frozen.denoiser(prompt_embeds=states, negative_prompt_embeds=negative, **arguments)

    def described(self) -> dict[str, Any]:
        """Besides, what a subject costs."""
        spent = np.array(self.spent or [(0.0, 0.0)])
        return {
            **super().described(),
            "subjects": len(self.spent),
            "seconds_a_subject": float(spent[:, 0].mean()),
            "megabytes_a_subject": float(spent[:, 1].mean()),
        }
