"""Captions of the training scenes, with attributes dropped at random, and the tokenizer built from them."""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from tinyworld.world.identity import CHOICES, Identity, article
from tinyworld.world.palette import CLOTHING
from tinyworld.world.render import Scene, sample_scene

CONTEXT = 48
"""Tokens a caption may have, begin and end included."""
HATS = tuple(hat for hat in CHOICES["hat"] if hat != "none")


def caption(scene: Scene, generator: torch.Generator) -> tuple[str, set[str]]:
    """A caption of a scene and the attributes that it names.

    Half of the captions name everything; a quarter drop a random part of the subject's attributes; an eighth each
    tell the subject only and the background only.
    """
    kind, share = torch.rand(2, generator=generator).tolist()
    subject = scene.identity.attributes()
    background = set(scene.background.attributes())
    if kind < 0.5:
        return f"{scene.identity.prompt()}, {scene.background.prompt()}", set(subject) | background
    if kind < 0.75:
        luck = torch.rand(len(subject), generator=generator).tolist()
        drop = {name for name, value in zip(subject, luck, strict=True) if value < share}
        return f"{scene.identity.prompt(drop)}, {scene.background.prompt()}", (set(subject) - drop) | background
    if kind < 0.875:
        return scene.identity.prompt(), set(subject)
    return scene.background.prompt(), background


def pointed(scene: Scene, generator: torch.Generator) -> str:
    """A caption that makes a single attribute of the subject count.

    One that is named is left out; or, where a hat is worn, it is put on at the end, as an edit of a description does,
    after no hat or another one.
    """
    which, other, edit = torch.rand(3, generator=generator).tolist()
    identity = scene.identity
    if identity.hat == "none" or edit < 0.5:
        # never the hat: to say of none is how captions say that there is none
        names = [name for name in identity.attributes() if not name.startswith("hat")]
        text = identity.prompt({names[int(which * len(names))]})
    elif edit < 0.75:
        text = f"{identity.prompt({'hat', 'hat_color'})} wearing {_hat(identity)}"
    else:
        colors = [color for color in CLOTHING if color != identity.hat_color]
        before = dataclasses.replace(
            identity, hat=HATS[int(which * len(HATS))], hat_color=colors[int(other * len(colors))]
        )
        text = f"{before.prompt()} wearing {_hat(identity)}"
    return f"{text}, {scene.background.prompt()}"


def _hat(identity: Identity) -> str:
    return article(f"{identity.hat_color} {identity.hat}")


def attribute_values(scene: Scene) -> dict[str, str]:
    """All factors of a scene by name, subject and background together."""
    return {**scene.identity.attributes(), **scene.background.attributes()}


@cache
def vocabulary(scenes: int = 5_000) -> dict[str, list[str]]:
    """The values that each attribute takes, sorted, from a sample of scenes."""
    values: dict[str, set[str]] = {}
    for seed in range(scenes):
        for name, value in attribute_values(sample_scene(seed)).items():
            values.setdefault(name, set()).add(value)
    return {name: sorted(found) for name, found in sorted(values.items())}


@cache
def build_tokenizer(scenes: int = 3000) -> CLIPTokenizer:
    """A CLIP tokenizer whose merges were learned on captions, so that each word of the world is one token."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1200, initial_alphabet=letters, end_of_word_suffix="</w>", min_frequency=5, show_progress=False
    )
    texts = [f"{s.identity.prompt()}, {s.background.prompt()}" for s in map(sample_scene, range(scenes))]
    bpe.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    words = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CONTEXT)


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids [N, CONTEXT], padded as diffusers pipelines pad prompts."""
    out = tokenizer(texts, padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt")
    return out.input_ids


def labels(values: list[dict[str, str]], named: list[set[str]], known: dict[str, list[str]]) -> dict[str, Tensor]:
    """Class numbers [N] of each attribute; 0 stands for "not named"."""
    found = {}
    for name, options in known.items():
        number = {value: i + 1 for i, value in enumerate(options)}
        row = [number.get(v.get(name, ""), 0) if name in says else 0 for v, says in zip(values, named, strict=True)]
        found[name] = torch.from_numpy(np.asarray(row))
    return found
