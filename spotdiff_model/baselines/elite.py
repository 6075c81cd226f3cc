"""ELITE-mini, global and local (our reimplementation; csyxwei/ELITE, Apache-2.0).

Kept, global: CLIP's last hidden state and earlier ones; for each of them two small MLPs, one on the class token, one on
every patch and then averaged; their sum is one word. All words stand at ``S*`` *before* the text encoder; word 0, of
the last layer, is to hold what can be edited, the others absorb the rest. Mapper and the keys and values of every
cross-attention are trained by noise prediction + .01 * mean |words|.

Kept, local: the global mapper is frozen and **only its word 0** is used; MLPs on the patches (the class token added to
each, the mean over layers), masked by the subject's mask, are attended to with keys and values of their own; the result
is added, weighted by the attention that ``S*`` gets at each place over its maximum. Input is the subject on black.
Noise prediction inside the target's mask + 1e-4 * mean |local values|. ``llambda`` (here ``scale``) .8 when pictures
are made.

Reduced: four words of the four layers [4, 1, 2, 3], MLPs 192-192-128, patches and mask on 8 x 8; one third of the
steps is global, the rest local. Native: the reference is the same picture, mirrored or turned a little. Unknown:
nothing that matters here, but the local targets' "far away" / "close up" rescaling is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from spotdiff_model.baselines.baseline import Baseline, Condition, Parts
from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.data import Batch, Shown
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.placeholder import Prompts, tokenize

_GLOBAL_PENALTY, _LOCAL_PENALTY = 0.01, 1e-4
_GLOBAL_SHARE = 1 / 3


class EliteGlobal(Baseline):
    title = "ELITE-mini, global (our reimplementation)"
    reads: ClassVar[tuple[str, ...]] = ("captions",)
    defaults: ClassVar[Mapping[str, Any]] = {"learning_rate": 1e-3, "unet": "kv", "reference": "same"}

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        depth = int(frozen.clip.model.config.vision_config.num_hidden_layers)
        # the last one first, then evenly spread earlier ones
        self.layers = [depth, *(max(1, round(depth * part / 4)) for part in (1, 2, 3))]
        sizes = frozen.clip_width, frozen.text_width
        self.summary = nn.ModuleList(_mlp(*sizes) for _ in self.layers)
        self.patches = nn.ModuleList(_mlp(*sizes) for _ in self.layers)
        # begins near real words: the text encoder has seen no others
        vocabulary = frozen.vocabulary()
        self.register_buffer("centre", vocabulary.mean(dim=0), persistent=False)
        self.register_buffer("spread", vocabulary.std(dim=0), persistent=False)

    def words(self, images: Sequence[Image.Image]) -> Tensor:
        """``[N, 4, W]``, the editable one first."""
        states = self.frozen.look(images).states
        found = []
        for layer, summary, patches in zip(self.layers, self.summary, self.patches, strict=True):
            state = F.layer_norm(states[layer], states[layer].shape[-1:])
            found.append(summary(state[:, 0]) + patches(state[:, 1:]).mean(dim=1))
        words: Tensor = self.centre + self.spread * torch.stack(found, dim=1)
        return words

    def features(self, shown: Shown) -> Tensor:
        """The editable word."""
        return self.words(shown.images)[:, 0]

    def condition(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        """All words at ``S*``."""
        return Condition(self.with_words(prompts, self.words(shown.images)))

    def loss(self, batch: Batch, step: int) -> Parts:
        """Noise prediction and the penalty on long words."""
        words = self.words(self._seen(batch))
        predicted = self.denoise(batch, Condition(self.with_words(batch.prompts, words)))
        noise = F.mse_loss(predicted, self.wanted(batch))
        return {"noise": noise, "words": _GLOBAL_PENALTY * words.abs().mean()}

    def _seen(self, batch: Batch) -> list[Image.Image]:
        """The references; where they are the targets themselves, half of them mirrored, all of them turned a little."""
        images = list(batch.references.images)
        if self.config.reference == "other":
            return images
        turns = ((batch.times.float() / 1000 - 0.5) * 40).tolist()  # as random as the noise level is
        return [
            (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else image).rotate(
                turn, Image.Resampling.BILINEAR
            )
            for number, (image, turn) in enumerate(zip(images, turns, strict=True))
        ]


class Elite(EliteGlobal):
    title = "ELITE-mini, local (our reimplementation)"
    reads = ("captions", "mask")
    defaults: ClassVar[Mapping[str, Any]] = {**EliteGlobal.defaults, "scale": 0.8}

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        self.local = nn.ModuleList(_mlp(frozen.clip_width, frozen.text_width) for _ in self.layers)
        self.processors = _install(self.unet)

    def local_tokens(self, shown: Shown) -> Tensor:
        """``[N, P, W]``: the patches' words, nothing where the subject is not."""
        states = self.frozen.look(shown.on(0)).states
        found = []
        for layer, mlp in zip(self.layers, self.local, strict=True):
            state = F.layer_norm(states[layer], states[layer].shape[-1:])
            found.append(mlp(state[:, 1:] + state[:, :1]))
        mask = shown.patches(self.frozen.clip_grid).to(found[0])
        tokens: Tensor = torch.stack(found).mean(dim=0) * mask[..., None]
        return tokens

    def condition(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        """Word 0 at ``S*``, and the patches beside it."""
        word = self.words(shown.images)[:, :1]
        self._let_in(self.local_tokens(shown) if self.scale else None, prompts, self.scale)
        return Condition(self.with_words(prompts, word))

    def loss(self, batch: Batch, step: int) -> Parts:
        """The global stage, then the local one."""
        if not self._local_stage(step):
            self._let_in(None, batch.prompts, 0.0)
            return super().loss(batch, step)
        with torch.no_grad():
            word = self.words(self._seen(batch))[:, :1]
        self._let_in(self.local_tokens(batch.references), batch.prompts, 1.0)
        states = self.with_words(batch.prompts, word)
        predicted, wanted = self.denoise(batch, Condition(states)), self.wanted(batch)
        mask = torch.from_numpy(batch.targets.masks).float().to(predicted)[:, None]
        inside = F.interpolate(mask, predicted.shape[-2:], mode="area")
        noise = ((predicted - wanted).square() * inside).sum() / (inside.sum() * predicted.shape[1]).clamp(min=1)
        values = torch.stack([processor.spent for processor in self.processors]).mean()
        return {"noise": noise, "values": _LOCAL_PENALTY * values}

    def resting(self, step: int) -> list[nn.Parameter]:
        """In the local stage the global one rests, with the keys and values that it has trained."""
        local = ("local.", "_local.")
        resting = self._local_stage(step)
        return [value for name, value in self.trained().items() if resting and not any(part in name for part in local)]

    def _local_stage(self, step: int) -> bool:
        return step >= self.config.max_train_steps * _GLOBAL_SHARE

    def _tokens(self, prompts: Sequence[str]) -> Prompts:
        return tokenize(self.frozen.diffusion.text.tokenizer, prompts, 1).to(self.frozen.device)

    def _let_in(self, tokens: Tensor | None, prompts: Sequence[str], scale: float) -> None:
        """Hands the patches to every cross-attention."""
        slots = None if tokens is None else (self._tokens(prompts).slots >= 0).float()
        for processor in self.processors:
            processor.let_in(tokens, slots, scale)


class LocalAttention(nn.Module):
    """diffusers' cross-attention, and beside it one over local tokens, where ``S*`` is attended to.

    Attributes:
        spent: Mean size of the local values in the last pass.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        inner, width = layer.to_k.out_features, layer.to_k.in_features
        self.to_k_local, self.to_v_local = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.to_k_local.load_state_dict(layer.to_k.state_dict())
        self.to_v_local.load_state_dict(layer.to_v.state_dict())
        self.let_in(None, None, 0.0)
        self.spent = torch.zeros(())

    def let_in(self, tokens: Tensor | None, slots: Tensor | None, scale: float) -> None:
        """What is attended to from now on.

        Args:
            tokens: ``[N, P, W]``, for the last N of a batch (guidance puts unconditional ones before them); None:
                nothing, and nothing is computed.
            slots: ``[N, T]``: 1 where the prompt has ``S*``.
            scale: Factor on what is added.
        """
        self.tokens, self.slots, self.scale = tokens, slots, scale

    def forward(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        """As diffusers' AttnProcessor2_0 for tokens ``[B, L, C]``: a UNet's transformers hand over nothing else."""
        query, key = attn.to_q(hidden_states), attn.to_k(encoder_hidden_states)
        value = attn.to_v(encoder_hidden_states)
        query, key, value = (_heads(each, attn.heads) for each in (query, key, value))
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        if self.tokens is not None and self.slots is not None:
            out = out + self.scale * self._local(query, key, attn.heads)
        out = out.transpose(1, 2).flatten(2)
        out = attn.to_out[1](attn.to_out[0](out))
        out = out + hidden_states if attn.residual_connection else out
        found: Tensor = out / attn.rescale_output_factor
        return found

    def _local(self, query: Tensor, key: Tensor, heads: int) -> Tensor:
        assert self.tokens is not None and self.slots is not None
        first = len(query) - len(self.tokens)
        query, key = query[first:], key[first:]
        local_key, local_value = self.to_k_local(self.tokens), self.to_v_local(self.tokens)
        self.spent = local_value.abs().mean()
        found = F.scaled_dot_product_attention(query, _heads(local_key, heads), _heads(local_value, heads))
        # how much S* is looked at, at each place, over the place where it is looked at most
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)
        looked = torch.einsum("nhlt,nt->nhl", weights, self.slots)
        looked = looked / looked.amax(dim=-1, keepdim=True).clamp(min=1e-6)
        found = found * looked[..., None]
        return F.pad(found, (0, 0, 0, 0, 0, 0, first, 0))


def _install(unet: Any) -> list[LocalAttention]:
    modules = dict(unet.named_modules())
    processors = dict(unet.attn_processors)
    added = []
    for name in processors:
        layer = modules[name.removesuffix(".processor")]
        if layer.is_cross_attention:
            processors[name] = LocalAttention(layer).to(layer.to_k.weight.device)
            added.append(processors[name])
    unet.set_attn_processor(processors)
    return added


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """``[B, H, L, C / H]`` of ``[B, L, C]``."""
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)


def _mlp(inputs: int, out: int) -> nn.Sequential:
    """Three layers with LayerNorm and LeakyReLU, as theirs."""
    return nn.Sequential(
        nn.Linear(inputs, inputs), nn.LayerNorm(inputs), nn.LeakyReLU(),
        nn.Linear(inputs, inputs), nn.LayerNorm(inputs), nn.LeakyReLU(),
        nn.Linear(inputs, out),
    )  # fmt: skip
