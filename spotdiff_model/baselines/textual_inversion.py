"""Textual Inversion (our reimplementation; rinongal/textual_inversion, MIT; diffusers' example).

Kept: everything but the pictures' number. One vector (four with four pictures) before the text encoder, begun as the
class word, trained by noise prediction on one to four pictures of the subject with short templates; all else is frozen.
AdamW without weight decay. Reduced: five templates of 27, and hundreds of steps instead of 3,000; the learning rate is
searched on validation subjects like everybody's.

``scale`` 0 says the class word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.baselines.per_subject import PerSubject

_WORD = "person"


class TextualInversion(PerSubject):
    title = "Textual Inversion (our reimplementation)"
    reads = ("the subject's pictures", "class word")
    defaults: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 5e-3, "max_train_steps": 200, "train_batch_size": 4, "adam_weight_decay": 0.0,
        "unet": "frozen", "reference": "same",
    }  # fmt: skip

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        # in a list, so that it is no parameter of the module: a subject's words live as long as its pictures are made
        self._words: list[Tensor] = []

    def begin(self, generator: torch.Generator) -> Iterable[nn.Parameter]:
        """The class word, once for each vector."""
        parameter = nn.Parameter(self.frozen.word(_WORD).expand(1, self.config.pictures, -1).clone())
        self._words = [parameter]
        return [parameter]

    def states(self, prompts: Sequence[str]) -> Tensor:
        """With the subject's vectors at ``S*``."""
        return self.with_words(prompts, self._words[0].expand(len(prompts), -1, -1))
