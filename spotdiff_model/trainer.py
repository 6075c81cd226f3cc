"""The training: what a step is to minimise (:class:`Objective`), and the loop on accelerate (our reconstruction).

    loss = w_noise * noise_prediction(UNet(x_t, t, prompt with S*))         of the target
         + w_distillation * noise_prediction against the text-prompt teacher
         + w_text * text_alignment                                          of S* and of the subject's description
         + w_spotting * (keypoints of f_p + supervised_contrastive of f_b by background and of f_s by subject)
         + w_spotting * keypoints of f_p in further pictures                if there are some
         + w_orthogonality * orthogonality(f_s; f_p, f_b)
         + w_independence * (cross_covariance + hsic)(f_s; f_p, f_b)

Reference and target are different pictures of one subject (:mod:`spotdiff_model.data.pairs`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from diffusers.optimization import SchedulerType, get_scheduler
from torch import Tensor, nn

from pipeline import ids, store
from pipeline.config import UserError
from spotdiff_model import losses
from spotdiff_model.config import TrainConfig, spoken_template
from spotdiff_model.data.features import FrozenFeatures
from spotdiff_model.data.pairs import Batch, TrainingPairs
from spotdiff_model.data.pose_pictures import PosePictures
from spotdiff_model.hub import Diffusion
from spotdiff_model.model import EncoderOutput, PoseOutput
from spotdiff_model.placeholder import PLACEHOLDER, Prompts, tokenize
from spotdiff_model.text import Conditions
from spotdiff_model.training import checkpoints
from spotdiff_model.training.finish import fit_concept_erasure, save_encoder
from spotdiff_model.training.gather import gather
from spotdiff_model.training.lora import add_lora, lora_parameters, without_lora
from spotdiff_model.training.monitor import Monitor
from spotdiff_model.training.setup import Prepared, prepare
from spotdiff_model.training.validation import save_pictures

CONFIG = "train_config.json"
Parts = dict[str, Tensor]


def train(config: TrainConfig) -> Path:
    """Trains an encoder.

    Args:
        config: Everything; a finished training with the same config gives the same weights.

    Returns:
        The output folder, for ``SpotDiffEncoder.from_pretrained``.

    Raises:
        UserError: The manifest cannot be trained on, the checkpoint is not this training's, or a loss is not finite.
    """
    output_dir = Path(config.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        mixed_precision=config.mixed_precision,
        log_with=None if config.report_to == "none" else config.report_to,
        project_dir=str(output_dir / "logs"),
        # the erasure's moments are the same everywhere: all devices make them of the whole batch
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
    )
    with Monitor(output_dir, accelerator, config.max_train_steps) as monitor:
        with accelerator.main_process_first():  # the others find the caches filled
            prepared = prepare(config, monitor.preparing)
        if accelerator.is_main_process:
            store.write_bytes(str(output_dir / CONFIG), config.model_dump_json(indent=1).encode())
        if config.report_to != "none":
            accelerator.init_trackers("spotdiff", config=_flat(config))
        Trainer(config, prepared, accelerator, monitor, output_dir).run()
    accelerator.end_training()
    return output_dir


class Trainer:
    def __init__(
        self, config: TrainConfig, prepared: Prepared, accelerator: Accelerator, monitor: Monitor, output_dir: Path
    ) -> None:
        self.config, self.prepared, self.accelerator = config, prepared, accelerator
        self.monitor, self.output_dir = monitor, output_dir
        unet = prepared.diffusion.unet
        add_lora(unet, config.lora_rank)
        self.parameters = [*prepared.encoder.parameters(), *lora_parameters(unet)]
        optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.adam_weight_decay
        )
        self.schedule = _schedule(config, optimizer)
        self.encoder, self.optimizer = accelerator.prepare(prepared.encoder.train(), optimizer)
        if config.lora_rank:
            unet = accelerator.prepare(unet)
        accelerator.register_for_checkpointing(self.schedule)
        template = spoken_template(prepared.profile)
        num_pseudo_tokens = prepared.encoder.config.num_pseudo_tokens
        self.objective = Objective(
            config, prepared.features, prepared.diffusion, unet, num_pseudo_tokens, template, prepared.poses
        )
        self.pairs = TrainingPairs(prepared.features.rows, config.seed, config.reference, config.augmentations)

    def run(self) -> None:
        config, digest = self.config, self.prepared.features.rows.manifest.digest
        resumed = checkpoints.to_resume(self.output_dir, config.resume_from_checkpoint, config, digest)
        done = 0
        if resumed:
            self.accelerator.load_state(str(resumed[0]))
            done = resumed[1]
        else:
            checkpoints.remove_all(self.output_dir, self.accelerator)
        self.monitor.begin(done)
        for number in range(done + 1, config.max_train_steps + 1):
            self.monitor.step(number, self._step(number))
            if number % config.checkpointing_steps == 0 and number < config.max_train_steps:
                self._save_checkpoint(number)
                self.monitor.draw_curves()
            if config.validation_steps and number % config.validation_steps == 0:
                self._validate(number)
        self._finish()

    def _step(self, number: int) -> dict[str, float]:
        """One optimizer step; returns its losses, the mean over devices and accumulated batches."""
        config, accelerator = self.config, self.accelerator
        accumulated: dict[str, list[Tensor]] = {}
        for micro_step in range(config.gradient_accumulation_steps):
            batch_number = (number - 1) * config.gradient_accumulation_steps + micro_step
            step = DeviceStep(batch_number, accelerator.process_index, accelerator.num_processes)
            batch = self.pairs.batch(batch_number, config.train_batch_size * step.world).part(step.rank, step.world)
            with accelerator.accumulate(self.encoder), accelerator.autocast():
                parts, output = self.objective.parts(self.encoder, batch, step)
                total = self.objective.total(parts)
                self._check(number, {**parts, "loss": total})
                accelerator.backward(total)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(self.parameters, config.max_grad_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
            erasure = self.prepared.encoder.removal
            erasure.update(output.raw_subject.detach(), output.nuisance[:, : erasure.nuisance].detach())
            for name, value in {"loss": total, **parts}.items():
                accumulated.setdefault(name, []).append(value.detach())
        rate = self.schedule.get_last_lr()[0]
        self.schedule.step()
        means = torch.stack([torch.stack(values).mean() for values in accumulated.values()])
        means = accelerator.reduce(means, "mean").tolist()
        return {**dict(zip(accumulated, means, strict=True)), "learning_rate": rate}

    def _check(self, number: int, parts: dict[str, Tensor]) -> None:
        values = torch.stack([value.detach().float() for value in parts.values()])
        values = self.accelerator.reduce(values, "sum").tolist()
        wrong = [name for name, value in zip(parts, values, strict=True) if not math.isfinite(value)]
        if wrong:
            kept = checkpoints.checkpoints(self.output_dir)
            good = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
            raise UserError(
                f"training: the loss {wrong[0]!r} is not finite at step {number}; {good}; try a lower --learning_rate "
                f"(now {self.config.learning_rate:g}) or --mixed_precision no"
            )

    def _save_checkpoint(self, number: int) -> None:
        digest = self.prepared.features.rows.manifest.digest
        checkpoints.save(
            self.accelerator, self.output_dir, number, self.config, digest, self.config.checkpoints_total_limit
        )

    def _validate(self, number: int) -> None:
        if not self.accelerator.is_main_process or not self.config.num_validation_images:
            return
        sheet = save_pictures(self.prepared, self.config, self.output_dir, number)
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":
                tracker.writer.add_image("validation", sheet, number, dataformats="HWC")

    def _finish(self) -> None:
        last = self.config.max_train_steps
        self._save_checkpoint(last)
        fit_concept_erasure(self.prepared, self.config.train_batch_size * 2)
        self.monitor.draw_curves()
        if self.accelerator.is_main_process:
            history = self.monitor.history[-1] if self.monitor.history else {}
            save_encoder(self.prepared, self.config, self.output_dir, history)
        self._validate(last)


@dataclass(frozen=True)
class DeviceStep:
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
        features: FrozenFeatures,
        diffusion: Diffusion,
        unet: nn.Module,
        num_pseudo_tokens: int,
        prompt_template: str,
        poses: PosePictures | None = None,
    ) -> None:
        """Prepares labels and prompts.

        Args:
            config: Of the training.
            features: Of the training rows.
            diffusion: Text encoder and noise schedule.
            unet: ``diffusion.unet``, or what accelerate has wrapped around it.
            num_pseudo_tokens: Pseudo-tokens per placeholder.
            prompt_template: With ``{subject}`` and ``{background}``; of the manifest's profile.
            poses: Further pictures for the pose expert.
        """
        self.poses = poses
        self.config, self.features, self.diffusion, self.unet = config, features, diffusion, unet
        rows = features.rows
        prompts, numbers = np.unique(rows.background_prompt, return_inverse=True)
        texts = [prompt_template.format(subject=PLACEHOLDER, background=prompt) for prompt in prompts]
        self.prompts, self.prompt_numbers = (
            tokenize(diffusion.text.tokenizer, texts, num_pseudo_tokens),
            numbers.reshape(-1),
        )
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
            "more_keypoints": config.spotting_weight if poses else 0.0,
            "background": config.spotting_weight if config.experts else 0.0,
            "subject": config.spotting_weight,
            "independence": config.independence_weight if config.experts else 0.0,
        }
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}

    def parts(self, encoder: nn.Module, batch: Batch, step: DeviceStep) -> tuple[Parts, EncoderOutput]:
        """Loss parts (unweighted) and, for the erasure's moments, the features of all devices.

        Args:
            encoder: Maps CLIP tokens to :class:`EncoderOutput`.
            batch: This device's pairs.
            step: Where it stands.
        """
        device = next(encoder.parameters()).device
        places = np.concatenate([batch.references, batch.targets])
        augmentations = np.concatenate([batch.reference_augmentations, batch.target_augmentations])
        tokens = torch.from_numpy(self.features.tokens(places, augmentations)).to(device)
        parts: Parts = {}
        output: EncoderOutput
        if "more_keypoints" in self.weights:
            posed, wanted = self._posed(step, device)
            output, seen = encoder(tokens, posed)
            found = PoseOutput(*(gather(values) for values in seen))
            parts["more_keypoints"] = _keypoints(found, gather(wanted))
        else:
            output = encoder(tokens)
        gathered = EncoderOutput(*(gather(values) for values in output))
        parts |= self._features(gathered, places, augmentations, device)
        if {"noise", "distillation", "text"} & self.weights.keys():
            parts |= self._diffusion(output.pseudo_tokens, batch, step, device)
        return {name: value for name, value in parts.items() if name in self.weights}, gathered

    def total(self, parts: Parts) -> Tensor:
        """The weighted sum."""
        return torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()

    def _features(
        self, output: EncoderOutput, places: np.ndarray, augmentations: np.ndarray, device: torch.device
    ) -> Parts:
        everywhere = gather(torch.from_numpy(places).to(device)).cpu()
        labels = {name: values[everywhere].to(device) for name, values in self.labels.items()}
        if self.config.subject_contrast == "near-identity":
            contrast = losses.near_identity(output.subject, labels["subject_id"], labels["background_id"])
        else:
            contrast = losses.supervised_contrastive(output.subject, labels["subject_id"])
        parts = {"subject": contrast}
        if not self.config.experts:
            return parts
        keypoints = gather(torch.from_numpy(self.features.keypoints[augmentations, places]).to(device))
        parts["keypoints"] = _keypoints(output, keypoints)
        parts["background"] = losses.supervised_contrastive(output.background, labels["background_id"])
        parts["orthogonality"] = losses.orthogonality(output.subject, output.pose, output.background)
        # the experts are not to hide what they know for the sake of independence
        others = output.pose.detach(), output.background.detach()
        parts["independence"] = torch.stack(
            [losses.cross_covariance(output.subject, other) + losses.hsic(output.subject, other) for other in others]
        ).mean()
        return parts

    def _posed(self, step: DeviceStep, device: torch.device) -> tuple[Tensor, Tensor]:
        """Tokens and keypoints of this device's further pictures for the pose expert."""
        assert self.poses is not None
        drawn = self.poses.batch(self.config.seed, step.number, self.config.pose_batch_size * step.world)
        tokens, keypoints = (torch.from_numpy(values[step.rank :: step.world]).to(device) for values in drawn)
        return tokens, keypoints

    def _diffusion(self, pseudo_tokens: Tensor, batch: Batch, step: DeviceStep, device: torch.device) -> Parts:
        """What the references' pseudo-tokens in the targets' prompts do, to the text's features and to the UNet."""
        parts: Parts = {}
        if "text" in self.weights:
            eos = self.diffusion.text.tokenizer.eos_token_id
            chosen = self._prompts(batch.targets).without_padding(eos).to(device)
            found = self.diffusion.text.features(chosen, pseudo_tokens[: len(batch.targets)])
            wanted = torch.from_numpy(self.features.prompt_features_of(batch.targets)).to(device)
            parts["text"] = losses.text_alignment(found, wanted, self.text_mean.to(device))
        if {"noise", "distillation"} & self.weights.keys():
            targets = batch.targets[: self.config.noise_batch_size]
            # padded: the UNet attends to what stands behind a prompt's end, too
            chosen = self._prompts(targets).to(device)
            told = self.diffusion.text.conditions(chosen, pseudo_tokens[: len(targets)])
            parts |= self._denoising(told, targets, step)
        return parts

    def _prompts(self, places: np.ndarray) -> Prompts:
        """The prompts of rows, with ``S*`` for the subject."""
        numbers = torch.from_numpy(self.prompt_numbers[places])
        return Prompts(self.prompts.ids[numbers], self.prompts.slots[numbers])

    def _denoising(self, told: Conditions, targets: np.ndarray, step: DeviceStep) -> Parts:
        """Noise prediction of the targets, held against the noise and against the text-prompt teacher's prediction."""
        latents = torch.from_numpy(self.features.latents_of(targets)).to(told.states.device)
        noise, times = (values.to(told.states.device) for values in self._noise(latents.shape, step))
        scheduler: Any = self.diffusion.scheduler
        noisy = scheduler.add_noise(latents, noise, times)
        # on a GPU the frozen parts may be in half precision
        size, noisy = self.diffusion.size, noisy.to(told.states.dtype)
        predicted = self.unet(noisy, times, **told.for_unet(size)).sample
        parts: Parts = {}
        if "distillation" in self.weights:
            described = self.diffusion.prompt_conditions([str(text) for text in self.features.rows.prompt[targets]])
            with torch.no_grad(), without_lora(self.diffusion.unet) as frozen:
                teacher = frozen(noisy, times, **described.to(noisy.dtype).for_unet(size)).sample
            parts["distillation"] = losses.noise_prediction(predicted, teacher)
        wanted = {"epsilon": noise, "sample": latents}.get(scheduler.config.prediction_type)
        if wanted is None:
            wanted = scheduler.get_velocity(latents, noise, times)
        return parts | {"noise": losses.noise_prediction(predicted, wanted)}

    def _noise(self, shape: torch.Size, step: DeviceStep) -> tuple[Tensor, Tensor]:
        """This device's part of the step's noise ``[B, C, h, w]`` and times ``[B]``, drawn for all devices at once."""
        generator = torch.Generator().manual_seed(int(ids.digest(["noise", self.config.seed, step.number])[:15], 16))
        count = shape[0] * step.world
        noise = torch.randn((count, *shape[1:]), generator=generator)
        times = torch.randint(self.diffusion.scheduler.config.num_train_timesteps, (count,), generator=generator)
        return noise[step.rank :: step.world], times[step.rank :: step.world]


def _keypoints(found: EncoderOutput | PoseOutput, wanted: Tensor) -> Tensor:
    """What the pose expert is to minimise."""
    return (
        losses.keypoint_regression(found.keypoints, wanted)
        + losses.keypoint_places(found.log_heatmap, wanted)
        + losses.keypoint_votes(found.votes, wanted)
    )


def _flat(config: TrainConfig) -> dict[str, Any]:
    values = json.loads(config.model_dump_json())
    return {
        name: value if isinstance(value, int | float | str | bool) else str(value) for name, value in values.items()
    }


def _schedule(config: TrainConfig, optimizer: Any) -> Any:
    try:
        kind = SchedulerType(config.lr_scheduler)
    except ValueError as error:
        known = ", ".join(sorted(kind.value for kind in SchedulerType))
        raise UserError(f"training: lr_scheduler: {config.lr_scheduler!r} is none of {known}") from error
    return get_scheduler(
        kind, optimizer, num_warmup_steps=config.lr_warmup_steps, num_training_steps=config.max_train_steps
    )
