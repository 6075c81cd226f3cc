"""The text side of a Stable Diffusion: one text encoder, or SDXL's two, with token embeddings side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spotdiff_model.placeholder import Prompts, at_end, ends, replaced


@dataclass(frozen=True)
class Conditions:
    """What a UNet is told of prompts.

    Attributes:
        states: ``[N, T, D]`` hidden states.
        pooled: ``[N, P]`` of the second text encoder; None where there is one only.
    """

    states: Tensor
    pooled: Tensor | None = None

    def for_unet(self, size: int) -> dict[str, Any]:
        """The UNet's arguments; ``size``: the picture's side in pixels, which SDXL is told, too."""
        if self.pooled is None:
            return {"encoder_hidden_states": self.states}
        # original size, crop from the upper left corner, wanted size
        times = torch.tensor([[size, size, 0, 0, size, size]] * len(self.states))
        more = {"text_embeds": self.pooled, "time_ids": times.to(self.states.device, self.states.dtype)}
        return {"encoder_hidden_states": self.states, "added_cond_kwargs": more}

    def for_pipeline(self, negative: bool = False) -> dict[str, Tensor]:
        """The arguments of diffusers' pipelines."""
        before = "negative_" if negative else ""
        found = {f"{before}prompt_embeds": self.states}
        return found if self.pooled is None else {**found, f"{before}pooled_prompt_embeds": self.pooled}

    def expand(self, count: int) -> Conditions:
        """One prompt's for ``count`` pictures."""
        pooled = None if self.pooled is None else self.pooled.expand(count, -1)
        return Conditions(self.states.expand(count, -1, -1), pooled)

    def to(self, dtype: torch.dtype) -> Conditions:
        """The same in another precision."""
        return Conditions(self.states.to(dtype), None if self.pooled is None else self.pooled.to(dtype))


@dataclass(frozen=True)
class TextEncoders:
    """Frozen text encoders with their tokenizers, which share one vocabulary.

    Pseudo-tokens have the width of all token embeddings together; each encoder gets its part of them.

    Attributes:
        encoders: SD 1.5's ``CLIPTextModel``; SDXL's two.
        tokenizers: One each. They differ in what they pad with.
    """

    encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]

    @property
    def tokenizer(self) -> Any:
        """The first one."""
        return self.tokenizers[0]

    @property
    def vocabulary(self) -> Tensor:
        """``[V, W]`` float32: each token's embeddings in all encoders."""
        return torch.cat([one.get_input_embeddings().weight.float().cpu() for one in self.encoders], dim=1)

    def ids(self, prompts: Sequence[str]) -> Prompts:
        """Prompts without placeholders, padded."""
        length = self.tokenizer.model_max_length
        told = self.tokenizer(
            list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        ids = told.input_ids.to(self.encoders[0].device)
        return Prompts(ids, torch.full_like(ids, -1))

    def conditions(self, prompts: Prompts, pseudo_tokens: Tensor | None = None) -> Conditions:
        """What the UNet is told; differentiable by the pseudo-tokens ``[N, k, W]``, if there are placeholders."""
        widths = [one.get_input_embeddings().weight.shape[1] for one in self.encoders]
        parts = [None] * len(widths) if pseudo_tokens is None else pseudo_tokens.split(widths, dim=-1)
        outputs = [
            _run(one, prompts if tokenizer is self.tokenizer else self._padded(prompts, tokenizer), part)
            for one, tokenizer, part in zip(self.encoders, self.tokenizers, parts, strict=True)
        ]
        if len(outputs) == 1:
            return Conditions(outputs[0].last_hidden_state)
        # SDXL reads the last layer but one, without the final norm
        states = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return Conditions(states, outputs[-1].text_embeds)

    def features(self, prompts: Prompts, pseudo_tokens: Tensor | None = None) -> Tensor:
        """``[N, D]``: the states where each prompt ends; all that it says is gathered there."""
        states = self.conditions(prompts, pseudo_tokens).states
        return at_end(states, prompts.ids, self.tokenizer.eos_token_id)

    def _padded(self, prompts: Prompts, tokenizer: Any) -> Prompts:
        """The same prompts with another tokenizer's padding behind their ends."""
        if tokenizer.pad_token_id == self.tokenizer.pad_token_id:
            return prompts
        places = torch.arange(prompts.ids.shape[1], device=prompts.ids.device)
        behind = places > ends(prompts.ids, self.tokenizer.eos_token_id)[:, None]
        return Prompts(prompts.ids.masked_fill(behind, tokenizer.pad_token_id), prompts.slots)


def _run(encoder: Any, prompts: Prompts, pseudo_tokens: Tensor | None) -> Any:
    if pseudo_tokens is None:
        with torch.no_grad():
            return encoder(prompts.ids, output_hidden_states=True)
    picked = prompts.slots.clamp(min=0)[..., None].expand(-1, -1, pseudo_tokens.shape[-1])
    inserted = torch.gather(pseudo_tokens, 1, picked)
    with replaced(encoder, prompts.slots >= 0, inserted):
        return encoder(prompts.ids, output_hidden_states=True)
