"""DreamBooth (our reimplementation; diffusers' example, Apache-2.0).

Kept: the whole UNet is trained on one to four pictures of the subject, called by a rare word and its class ("sks
person"), with prior preservation of weight 1 on pictures that the frozen UNet has made of the class. Reduced: 16 class
pictures instead of 200, the miniature's 6.7 M UNet; learning rate and steps are searched on validation subjects. The
miniature's vocabulary has few rare words: the rarest is taken, by its number.

``scale`` 0 is the base model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.baselines.per_subject import TEMPLATES, PerSubject
from spotdiff_model.evaluation.generation.requests import CLASS_NOUN
from spotdiff_model.placeholder import PLACEHOLDER

_CLASS_PICTURES = 16
_PRIOR_WEIGHT = 1.0


class DreamBooth(PerSubject):
    title = "DreamBooth (our reimplementation)"
    reads = ("the subject's pictures", "class word")
    defaults: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 1e-4, "max_train_steps": 200, "train_batch_size": 2, "unet": "frozen", "reference": "same",
    }  # fmt: skip

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        # the weights to go back to; the UNet counts as frozen between subjects, so nothing of it is saved
        self.base = {name: value.detach().clone() for name, value in self.unet.state_dict().items()}
        self.class_latents: Tensor | None = None
        self.identifier = _rare_word(frozen)

    def begin(self, generator: torch.Generator) -> Iterable[nn.Parameter]:
        """The base UNet, all of it."""
        self.reset()
        if self.class_latents is None:
            self.class_latents = self._class_latents()
        parameters = list(self.unet.parameters())
        for parameter in parameters:
            parameter.requires_grad_(True)
        return parameters

    def states(self, prompts: Sequence[str]) -> Tensor:
        """With the rare word and the class at ``S*``."""
        noun = f"{self.identifier} {CLASS_NOUN.removeprefix('a ')}"
        return self.frozen.diffusion.prompt_conditions([prompt.replace(PLACEHOLDER, noun) for prompt in prompts]).states

    def extra_loss(self, generator: torch.Generator) -> Tensor:
        """Prior preservation: the class is to stay what it was."""
        assert self.class_latents is not None
        count = self.config.train_batch_size
        rows = torch.randint(len(self.class_latents), (count,), generator=generator)
        states = self.said([TEMPLATES[0].format(PLACEHOLDER)] * count)
        return _PRIOR_WEIGHT * self.noise_loss(self.class_latents[rows], states, generator)

    def reset(self) -> None:
        """The UNet as it was before any subject, frozen."""
        self.unet.load_state_dict(self.base)
        self.unet.requires_grad_(False)

    def _class_latents(self) -> Tensor:
        generators = [torch.Generator().manual_seed(number) for number in range(_CLASS_PICTURES)]
        with torch.no_grad():
            images = self.frozen.denoiser(prompt=[CLASS_NOUN] * _CLASS_PICTURES, generator=generators)
            return self.frozen.diffusion.latents(images).float()


def _rare_word(frozen: Frozen) -> str:
    """The word whose token comes last in the vocabulary, special ones aside."""
    tokenizer = frozen.diffusion.text.tokenizer
    special = set(tokenizer.all_special_ids)
    for number in range(len(tokenizer) - 1, -1, -1):
        word = tokenizer.decode([number]).strip()
        if number not in special and word.isalpha() and tokenizer(word, add_special_tokens=False).input_ids == [number]:
            return word
    raise AssertionError("a tokenizer has a word")
