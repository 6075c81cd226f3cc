"""``S*`` in prompts: pseudo-token embeddings in the token sequence of a frozen text encoder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.config import UserError

logger = logging.getLogger(__name__)
PLACEHOLDER = "S*"


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts.

    Attributes:
        ids: ``[N, T]`` token ids; at a placeholder stand ids without meaning.
        slots: ``[N, T]``: number of the pseudo-token that stands there, -1 for real tokens.
    """

    ids: Tensor
    slots: Tensor

    def to(self, device: Any) -> Prompts:
        """The same on a device."""
        return Prompts(self.ids.to(device), self.slots.to(device))

    def without_padding(self, eos_token_id: int) -> Prompts:
        """The same, cut behind the longest one's end; what stands there bears on no state before it."""
        longest = int(ends(self.ids, eos_token_id).max()) + 1
        return Prompts(self.ids[:, :longest], self.slots[:, :longest])


def with_placeholder(prompt: str) -> str:
    """The prompt, with ``S*`` appended where it has none (a note in the log says so)."""
    if PLACEHOLDER in prompt:
        return prompt
    appended = f"{prompt.rstrip()}, {PLACEHOLDER}" if prompt.strip() else PLACEHOLDER
    logger.warning("prompt without %s: taken as %r", PLACEHOLDER, appended)
    return appended


def tokenize(tokenizer: Any, prompts: Sequence[str], num_pseudo_tokens: int) -> Prompts:
    """Token ids of prompts, with room for ``num_pseudo_tokens`` pseudo-tokens at each ``S*``.

    The text before and after a placeholder is tokenised by itself, so it does not matter into what the tokenizer
    would split ``S*``.

    Args:
        tokenizer: A ``CLIPTokenizer``.
        prompts: With ``S*`` somewhere.
        num_pseudo_tokens: Pseudo-tokens per placeholder.

    Raises:
        UserError: A placeholder does not fit into the text encoder's length.
    """
    length = tokenizer.model_max_length
    rows = [_tokenize(tokenizer, prompt, num_pseudo_tokens, length) for prompt in prompts]
    ids, slots = (torch.tensor([row[part] for row in rows]) for part in (0, 1))
    return Prompts(ids, slots)


def at_end(states: Tensor, ids: Tensor, eos_token_id: int) -> Tensor:
    """``[N, D]``: the states ``[N, T, D]`` where each prompt ends; all that the prompt says is gathered there."""
    return states[torch.arange(len(states), device=states.device), ends(ids, eos_token_id)]


def ends(ids: Tensor, eos_token_id: int) -> Tensor:
    """Places ``[N]`` at which prompts ``[N, T]`` end."""
    return (ids == eos_token_id).int().argmax(dim=1)


def _tokenize(tokenizer: Any, prompt: str, num_pseudo_tokens: int, length: int) -> tuple[list[int], list[int]]:
    ids, slots = [tokenizer.bos_token_id], [-1]
    pieces = prompt.split(PLACEHOLDER)
    for number, piece in enumerate(pieces):
        real = tokenizer(piece, add_special_tokens=False, truncation=False, verbose=False).input_ids
        ids += real
        slots += [-1] * len(real)
        if number < len(pieces) - 1:
            # any id but that of the end, which the encoder looks for
            ids += [tokenizer.bos_token_id] * num_pseudo_tokens
            slots += range(num_pseudo_tokens)
            if len(ids) > length - 1:
                raise UserError(
                    f"prompt {prompt!r}: {PLACEHOLDER} stands for {num_pseudo_tokens} pseudo-tokens, which end beyond "
                    f"the {length} tokens of the text encoder; put it nearer to the beginning"
                )
    if len(ids) > length - 1:
        logger.warning("prompt %r: cut to %d tokens", prompt, length)
    ids, slots = [*ids[: length - 1], tokenizer.eos_token_id], [*slots[: length - 1], -1]
    missing = length - len(ids)
    return ids + [tokenizer.pad_token_id] * missing, slots + [-1] * missing


@contextmanager
def replaced(text_encoder: Any, where: Tensor, inserted: Tensor) -> Iterator[None]:
    """Puts ``inserted`` over the token embeddings ``where`` ``[N, T]`` as long as it lasts.

    The encoders take ids only, so the embedding layer is the place.
    """

    def replace(_: Any, __: Any, embedded: Tensor) -> Tensor:
        return torch.where(where[..., None], inserted.to(embedded.dtype), embedded)

    hook = text_encoder.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()
