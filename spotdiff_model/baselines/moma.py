"""MoMA-mini (our reimplementation; bytedance/MoMA; training code and data were never released).

Kept: a multimodal model reads the subject *on white* and the prompt; the hidden state of its last token, through a
gated SiLU MLP, becomes four tokens behind the text encoder, with keys and values of their own as in IP-Adapter. Detail
comes by self-attention: the reference's latent goes through the same UNet at t = 0 with the class word, and what
enters each of its self-attentions gets new keys and values; tokens outside the subject's mask are shut out; the result
is added, times ``strength``, a learned scalar a layer that begins at 0, and the generation mask: where the class word
was attended to in the step before, mean of all layers, cut at .2 and rescaled. This path is open below t = 950.

Reduced: LLaVA-7B becomes a two-layer transformer over [CLIP patches; prompt tokens; one query]; in a first stage (a
third of the steps) it is taught to tell the target's CLIP embedding (cosine), as theirs. In training, the generation
mask is the target's own. Injection exists only where the miniature UNet has attention, at 8 x 8 and 4 x 4 of 16 x 16,
so the detail path is blunted: that belongs beside its row. Unknown: rates, drops, weights of the losses.

``scale`` is strength, and a factor on the tokens: 1 for new contexts; .4 is theirs for new textures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional as F

from spotdiff_model.baselines.baseline import Baseline, Condition, Parts
from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.data import Batch, Shown
from spotdiff_model.baselines.decoupled import install, set_scales
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.evaluation.generation.requests import CLASS_NOUN
from spotdiff_model.placeholder import PLACEHOLDER, tokenize

_TOKENS, _HEADS, _LAYERS = 4, 4, 2
_FIRST_SHARE = 1 / 3
_OPEN_BELOW = 950
_CUT = 0.2
_GRID = 8
"""Masks of the generation are kept on so many places a side."""


class MoMA(Baseline):
    title = "MoMA-mini (our reimplementation)"
    reads = ("captions", "class word", "mask")
    defaults: ClassVar[Mapping[str, Any]] = {"learning_rate": 1e-3, "unet": "frozen", "reference": "same"}

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        width = frozen.text_width
        self.patch_in, self.text_in = nn.Linear(frozen.clip_width, width), nn.Linear(width, width)
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, width))
        layer = nn.TransformerEncoderLayer(width, _HEADS, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.reader = nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False)
        self.tells = nn.Linear(width, frozen.clip.model.config.projection_dim)
        self.gate, self.up = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.tokens_out = nn.Sequential(nn.Linear(2 * width, _TOKENS * width), nn.Unflatten(1, (_TOKENS, width)))
        self.normed = nn.LayerNorm(width)
        self.cross = install(self.unet, [_TOKENS])
        self.watch = Watch()
        self.detail = _install(self.unet, self.watch)
        self.unet.register_forward_pre_hook(self.watch.begins)

    def told(self, shown: Shown, prompts: Sequence[str]) -> Tensor:
        """The last token's hidden state ``[N, W]``."""
        patches = self.patch_in(self.frozen.look(shown.on(255)).states[-1][:, 1:])
        tokenizer = self.frozen.diffusion.text.tokenizer
        said = [prompt.replace(PLACEHOLDER, CLASS_NOUN) for prompt in prompts]
        ids = tokenizer(said, padding="max_length", truncation=True, return_tensors="pt").input_ids.to(patches.device)
        words = self.text_in(self.frozen.vocabulary()[ids])
        query = self.query.expand(len(patches), -1, -1)
        found: Tensor = self.reader(torch.cat([patches, words, query], dim=1))[:, -1]
        return found

    def features(self, shown: Shown) -> Tensor:
        """What is told of the subject, for the bare class word."""
        return self.told(shown, [PLACEHOLDER] * len(shown))

    def condition(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        """The class noun in the text, the tokens beside it, the reference's details in self-attention."""
        set_scales(self.cross, [self.scale])
        self._let_in(shown, self.scale)
        self.watch.follow(self._noun_places(prompts))
        return self._condition(shown, prompts)

    def loss(self, batch: Batch, step: int) -> Parts:
        """The target's CLIP embedding told, then the noise predicted."""
        if step < self.config.max_train_steps * _FIRST_SHARE:
            found = self.tells(self.told(batch.references, batch.prompts))
            wanted = self.frozen.look(batch.targets.images).embedding
            return {"told": 1 - F.cosine_similarity(found, wanted).mean()}
        set_scales(self.cross, [1.0])
        self._let_in(batch.references, 1.0)
        self.watch.given(batch.targets.patches(_GRID).to(self.frozen.device))
        predicted = self.denoise(batch, self._condition(batch.references, batch.prompts))
        return {"noise": F.mse_loss(predicted, self.wanted(batch))}

    def _condition(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        told = self.told(shown, prompts)
        tokens = self.normed(self.tokens_out(F.silu(self.gate(told)) * self.up(told)))
        return Condition(self.said(prompts), (tokens[:, None],))

    def _let_in(self, shown: Shown, strength: float) -> None:
        """One pass of the references through the UNet, whose self-attentions keep what enters them."""
        for processor in self.detail:
            processor.keep(None)
        if strength == 0:
            return
        count = len(shown)
        latents = self.frozen.diffusion.latents(shown.images)
        scales = list(self.cross[0].scale)
        set_scales(self.cross, [0.0])
        nothing = torch.zeros(count, 1, _TOKENS, self.frozen.text_width, device=latents.device)
        with torch.no_grad():
            self.watch.recording = True
            self.unet(
                latents, torch.zeros(count, dtype=torch.long, device=latents.device),
                encoder_hidden_states=self.said([PLACEHOLDER] * count), added_cond_kwargs={"image_embeds": [nothing]},
            )  # fmt: skip
            self.watch.recording = False
        set_scales(self.cross, scales)
        for processor in self.detail:
            processor.keep(shown.masks, strength)

    def _noun_places(self, prompts: Sequence[str]) -> Tensor:
        """``[N, T]``: 1 where the class noun stands."""
        tokenizer = self.frozen.diffusion.text.tokenizer
        pieces = len(tokenizer(CLASS_NOUN, add_special_tokens=False).input_ids)
        places = (tokenize(tokenizer, prompts, pieces).slots >= 0).float()
        return places.to(self.frozen.device)


class Watch:
    """What the attentions of one UNet share: where the subject is being drawn, and how late it is.

    Attributes:
        recording: Whether self-attentions keep what enters them.
        mask: ``[N, 64]`` in 0..1: where details may go; None: everywhere.
        open: Whether details may go anywhere in this pass.
        places: ``[N, T]``: where the class noun stands; None: the mask is given.
    """

    def __init__(self) -> None:
        self.recording, self.open = False, True
        self.mask: Tensor | None = None
        self.places: Tensor | None = None
        self._seen: list[Tensor] = []

    def given(self, mask: Tensor) -> None:
        """The mask is known (training)."""
        self.mask, self.places, self._seen = mask, None, []

    def follow(self, places: Tensor) -> None:
        """The mask is to be found by attention on these places, pass by pass."""
        self.mask, self.places, self._seen = None, places, []

    def saw(self, attention: Tensor) -> None:
        """One layer's attention ``[N, L]`` on the class noun."""
        side = round(attention.shape[1] ** 0.5)
        grid = attention.view(-1, 1, side, side)
        self._seen.append(F.interpolate(grid, (_GRID, _GRID), mode="bilinear").flatten(1))

    def begins(self, _: Any, arguments: tuple[Any, ...]) -> None:
        """Called before every pass of the UNet: what the last one saw becomes the mask."""
        if self.recording:
            return
        self.open = bool((torch.as_tensor(arguments[1]) < _OPEN_BELOW).all()) if self.places is not None else True
        if self.places is not None and self._seen:
            seen = torch.stack(self._seen).mean(dim=0)
            seen = seen / seen.amax(dim=1, keepdim=True).clamp(min=1e-6)
            self.mask = ((seen - _CUT) / (1 - _CUT)).clamp(min=0)
        self._seen = []


class DetailAttention(nn.Module):
    """diffusers' self-attention, and beside it one over the reference's tokens."""

    def __init__(self, layer: Any, watch: Watch) -> None:
        super().__init__()
        inner, width = layer.to_k.out_features, layer.to_k.in_features
        self.to_k_detail, self.to_v_detail = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.to_k_detail.load_state_dict(layer.to_k.state_dict())
        self.to_v_detail.load_state_dict(layer.to_v.state_dict())
        self.gain = nn.Parameter(torch.zeros(()))
        self.watch, self.plain = watch, AttnProcessor2_0()
        self.kept: Tensor | None = None
        self.masks: Any = None
        self.strength = 0.0

    def keep(self, masks: Any, strength: float = 0.0) -> None:
        """Which of the kept tokens count, ``[N, H, W]`` bool, and how much; None: nothing is kept any more."""
        self.masks, self.strength = masks, strength
        if masks is None:
            self.kept = None

    def forward(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, attention_mask: Any = None
    ) -> Tensor:
        """As ``AttnProcessor2_0``, plus the details."""
        out: Tensor = self.plain(attn, hidden_states, encoder_hidden_states, attention_mask)
        if self.watch.recording:
            self.kept = hidden_states
        elif self.kept is not None and self.masks is not None and self.watch.open:
            out = out + self.strength * self.gain * self._details(attn, hidden_states)
        return out

    def _details(self, attn: Any, hidden_states: Tensor) -> Tensor:
        assert self.kept is not None
        first = len(hidden_states) - len(self.kept)
        side = round(self.kept.shape[1] ** 0.5)
        inside = F.adaptive_max_pool2d(torch.from_numpy(self.masks).float()[:, None], side).flatten(1) > 0
        # a subject too small for this grid is not shut out whole
        inside = (inside | ~inside.any(dim=1, keepdim=True)).to(hidden_states.device)
        query = attn.to_q(hidden_states[first:])
        key, value = self.to_k_detail(self.kept), self.to_v_detail(self.kept)
        query, key, value = (each.unflatten(2, (attn.heads, -1)).transpose(1, 2) for each in (query, key, value))
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=inside[:, None, None, :])
        found = attn.to_out[0](found.transpose(1, 2).flatten(2))
        if self.watch.mask is not None:
            where = self.watch.mask.view(-1, 1, _GRID, _GRID)
            here = round(hidden_states.shape[1] ** 0.5)
            found = found * F.interpolate(where, (here, here), mode="area").flatten(1)[..., None]
        return F.pad(found, (0, 0, 0, 0, first, 0))


class WatchedCross(IPAdapterAttnProcessor2_0):
    """diffusers' decoupled cross-attention, which tells the watch where the class noun is attended to."""

    watch: Watch

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, **more: Any) -> Tensor:
        """As its base."""
        places = self.watch.places
        if places is not None and not self.watch.recording:
            text = encoder_hidden_states[0]
            query, key = attn.to_q(hidden_states[-len(places) :]), attn.to_k(text[-len(places) :])
            query, key = (each.unflatten(2, (attn.heads, -1)).transpose(1, 2) for each in (query, key))
            weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)
            self.watch.saw(torch.einsum("nhlt,nt->nl", weights, places) / attn.heads)
        found: Tensor = super().__call__(attn, hidden_states, encoder_hidden_states, **more)
        return found


def _install(unet: Any, watch: Watch) -> list[DetailAttention]:
    """Details for every self-attention; the decoupled cross-attentions become watched ones."""
    modules = dict(unet.named_modules())
    processors = dict(unet.attn_processors)
    added = []
    for name, processor in processors.items():
        layer = modules[name.removesuffix(".processor")]
        if layer.is_cross_attention:
            processor.__class__ = WatchedCross
            processor.watch = watch
        else:
            processors[name] = DetailAttention(layer, watch).to(layer.to_k.weight.device)
            added.append(processors[name])
    unet.set_attn_processor(processors)
    return added
