"""The loss of one step: the named parts of :mod:`spotdiff_model.losses`, put together (our reconstruction)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline import ids
from spotdiff_model import losses
from spotdiff_model.config import TrainConfig
from spotdiff_model.data.features import Features
from spotdiff_model.data.frozen import Diffusion
from spotdiff_model.data.pairs import Batch
from spotdiff_model.encoder import Spotted
from spotdiff_model.placeholder import PLACEHOLDER, Prompts, at_end, encode, tokenize
from spotdiff_model.training.gather import gather
from spotdiff_model.training.lora import without_lora

Parts = dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """Where a step stands.

    Attributes:
        number: Counted from 0.
        rank, world: This device, and how many there are.
    """

    number: int
    rank: int = 0
    world: int = 1


class Objective:
    """Computes the loss parts of a batch.

    Attributes:
        weights: Of the parts by name; a part of weight 0 is not computed.
    """

    def __init__(
        self,
        config: TrainConfig,
        features: Features,
        diffusion: Diffusion,
        unet: nn.Module,
        num_words: int,
        prompt_template: str,
    ) -> None:
        """Prepares labels and prompts.

        Args:
            config: Of the training.
            features: Of the training rows.
            diffusion: Text encoder and noise schedule.
            unet: ``diffusion.unet``, or what accelerate has wrapped around it.
            num_words: Pseudo-words per placeholder.
            prompt_template: With ``{subject}`` and ``{background}``; of the manifest's profile.
        """
        self.config, self.features, self.diffusion, self.unet = config, features, diffusion, unet
        rows = features.rows
        prompts, numbers = np.unique(rows.background_prompt, return_inverse=True)
        texts = [prompt_template.format(subject=PLACEHOLDER, background=prompt) for prompt in prompts]
        self.prompts, self.prompt_numbers = tokenize(diffusion.tokenizer, texts, num_words), numbers.reshape(-1)
        self.text_mean = torch.from_numpy(features.prompt_features_of(np.arange(len(rows))).mean(axis=0))
        self.labels = {
            name: torch.from_numpy(np.unique(getattr(rows, name), return_inverse=True)[1].reshape(-1))
            for name in ("subject_id", "background_id", "source_id")
        }
        weights = {
            "noise": config.noise_weight,
            "distillation": config.distillation_weight,
            "text": config.text_weight,
            "orthogonality": config.orthogonality_weight if config.experts else 0.0,
            "keypoints": config.spotting_weight if config.experts else 0.0,
            "background": config.spotting_weight if config.experts else 0.0,
            "subject": config.spotting_weight,
            "independence": config.independence_weight if config.experts else 0.0,
        }
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}

    def parts(self, encoder: nn.Module, batch: Batch, step: Step) -> tuple[Parts, Spotted]:
        """Loss parts (unweighted) and, for the removal's moments, the features of all devices.

        Args:
            encoder: Maps CLIP tokens to :class:`Spotted`.
            batch: This device's pairs.
            step: Where it stands.
        """
        device = next(encoder.parameters()).device
        places = np.concatenate([batch.references, batch.targets])
        viewed = np.concatenate([batch.reference_viewed, batch.target_viewed])
        tokens = torch.from_numpy(self.features.tokens(places, viewed)).to(device)
        spotted: Spotted = encoder(tokens)
        whole = Spotted(*(gather(values) for values in spotted))
        parts: Parts = {}
        parts |= self._features(whole, places, viewed, device)
        if {"noise", "distillation", "text"} & self.weights.keys():
            parts |= self._diffusion(spotted.words, batch, step, device)
        return {name: value for name, value in parts.items() if name in self.weights}, whole

    def total(self, parts: Parts) -> Tensor:
        """The weighted sum."""
        return torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()

    def _features(self, spotted: Spotted, places: np.ndarray, viewed: np.ndarray, device: torch.device) -> Parts:
        everywhere = gather(torch.from_numpy(places).to(device)).cpu()
        labels = {name: values[everywhere].to(device) for name, values in self.labels.items()}
        parts = {"subject": losses.agreement(spotted.subject, labels["subject_id"])}
        if not self.config.experts:
            return parts
        everyones = gather(torch.from_numpy(self.features.keypoints[viewed, places]).to(device))
        parts["keypoints"] = (
            losses.keypoint_regression(spotted.keypoints, everyones)
            + losses.keypoint_places(spotted.heat, everyones)
            + losses.keypoint_spots(spotted.spots, everyones)
        )
        parts["background"] = losses.agreement(spotted.background, labels["background_id"])
        parts["orthogonality"] = losses.orthogonality(spotted.subject, spotted.pose, spotted.background)
        # the experts are not to hide what they know for the sake of independence
        others = spotted.pose.detach(), spotted.background.detach()
        parts["independence"] = torch.stack(
            [losses.cross_covariance(spotted.subject, other) + losses.hsic(spotted.subject, other) for other in others]
        ).mean()
        return parts

    def _diffusion(self, words: Tensor, batch: Batch, step: Step, device: torch.device) -> Parts:
        """What the references' words in the targets' prompts do, to the text's features and to the UNet."""
        parts: Parts = {}
        if "text" in self.weights:
            tokenizer = self.diffusion.tokenizer
            chosen = self._prompts(batch.targets).without_padding(tokenizer.eos_token_id).to(device)
            states = encode(self.diffusion.text_encoder, chosen, words[: len(batch.targets)])
            found = at_end(states, chosen.ids, tokenizer.eos_token_id)
            wanted = torch.from_numpy(self.features.prompt_features_of(batch.targets)).to(device)
            parts["text"] = losses.text_agreement(found, wanted, self.text_mean.to(device))
        if {"noise", "distillation"} & self.weights.keys():
            targets = batch.targets[: self.config.noise_batch_size]
            # padded: the UNet attends to what stands behind a prompt's end, too
            chosen = self._prompts(targets).to(device)
            states = encode(self.diffusion.text_encoder, chosen, words[: len(targets)])
            parts |= self._denoising(states, targets, step)
        return parts

    def _prompts(self, places: np.ndarray) -> Prompts:
        """The prompts of rows, with ``S*`` for the subject."""
        numbers = torch.from_numpy(self.prompt_numbers[places])
        return Prompts(self.prompts.ids[numbers], self.prompts.words[numbers])

    def _denoising(self, states: Tensor, targets: np.ndarray, step: Step) -> Parts:
        """Noise prediction of the targets, held against the noise and against the prediction when told in words."""
        latents = torch.from_numpy(self.features.latents_of(targets)).to(states.device)
        noise, times = (values.to(states.device) for values in self._noise(latents.shape, step))
        scheduler: Any = self.diffusion.scheduler
        noisy = scheduler.add_noise(latents, noise, times)
        # on a GPU the frozen parts may be in half precision
        predicted = self.unet(noisy.to(states.dtype), times, encoder_hidden_states=states).sample
        parts: Parts = {}
        if "distillation" in self.weights:
            told = self.diffusion.prompt_states([str(text) for text in self.features.rows.prompt[targets]])
            with torch.no_grad(), without_lora(self.diffusion.unet) as frozen:
                teacher = frozen(noisy.to(states.dtype), times, encoder_hidden_states=told.to(states.dtype)).sample
            parts["distillation"] = losses.noise_prediction(predicted, teacher)
        wanted = {"epsilon": noise, "sample": latents}.get(scheduler.config.prediction_type)
        if wanted is None:
            wanted = scheduler.get_velocity(latents, noise, times)
        return parts | {"noise": losses.noise_prediction(predicted, wanted)}

    def _noise(self, shape: torch.Size, step: Step) -> tuple[Tensor, Tensor]:
        """This device's part of the step's noise ``[B, C, h, w]`` and times ``[B]``, drawn for all devices at once."""
        generator = torch.Generator().manual_seed(int(ids.digest(["noise", self.config.seed, step.number])[:15], 16))
        count = shape[0] * step.world
        noise = torch.randn((count, *shape[1:]), generator=generator)
        times = torch.randint(self.diffusion.scheduler.config.num_train_timesteps, (count,), generator=generator)
        return noise[step.rank :: step.world], times[step.rank :: step.world]
