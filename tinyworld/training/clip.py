"""Trains CLIP in two steps: the text encoder alone on attributes, then the vision encoder towards the frozen text.

Contrast alone teaches small attributes slowly. So the text encoder first learns to tell every attribute that a caption
names (which takes minutes), is frozen (the diffusion model can start on it), and the vision encoder then learns from
contrast (as in LiT, locked-image tuning, the other way round) with attribute heads as auxiliary losses.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from tinyworld.training.autoencoder import pick, to_tensor
from tinyworld.training.captions import (
    attribute_values,
    build_tokenizer,
    caption,
    labels,
    tokenize,
    vocabulary,
)
from tinyworld.training.loop import Losses, Recipe, fit
from tinyworld.training.renders import EVALUATION_SEED, Renders, load_renders
from tinyworld.training.save import save_half
from tinyworld.world.render import sample_scene

TEXT_RECIPE = Recipe(steps=800, batch_size=64, learning_rate=1e-3, warmup=100)
IMAGE_RECIPE = Recipe(steps=500, batch_size=96, learning_rate=1e-3, warmup=200)
WIDTH = 128


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A fresh CLIP with random weights: 3 text layers, 4 vision layers on 8 x 8 patches, 128 shared dimensions."""
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": tokenizer.model_max_length,
        **special,
    }
    vision = {
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "image_size": 64,
        "patch_size": 8,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def image_processor() -> CLIPImageProcessor:
    """The preprocessing: 64 px, pixel values to -1..1."""
    return CLIPImageProcessor(
        size={"shortest_edge": 64},
        crop_size={"height": 64, "width": 64},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


class Heads(nn.Module):
    """One linear classifier per attribute; class 0 means "not named"."""

    def __init__(self, known: dict[str, list[str]], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(options) + 1) for name, options in known.items()})

    def loss(self, features: Tensor, wanted: dict[str, Tensor], ignore_unnamed: bool = False) -> Tensor:
        """Mean cross-entropy over the attributes; features [N, width]."""
        skip = 0 if ignore_unnamed else -100
        parts = [F.cross_entropy(head(features), wanted[name], ignore_index=skip) for name, head in self.heads.items()]
        return torch.stack(parts).mean()


class TextStudent(nn.Module):
    """The text encoder with attribute heads on its pooled output."""

    def __init__(self, clip: CLIPModel, known: dict[str, list[str]]) -> None:
        super().__init__()
        self.clip = clip
        self.heads = Heads(known, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        return self.clip.text_model(input_ids=ids).pooler_output


class ImageStudent(nn.Module):
    """The whole CLIP, text encoder frozen, with attribute heads on the pooled image feature."""

    def __init__(self, clip: CLIPModel, known: dict[str, list[str]]) -> None:
        super().__init__()
        self.clip = clip
        self.heads = Heads(known, clip.config.vision_config.hidden_size)
        self.clip.text_model.requires_grad_(False)


def captions_of(seeds: np.ndarray, known: dict[str, list[str]], generator: torch.Generator) -> tuple[list[str], dict]:
    """Random captions of the scenes with these seeds, and the labels of what each names."""
    scenes = [sample_scene(int(seed)) for seed in seeds]
    texts, named = zip(*(caption(scene, generator) for scene in scenes), strict=True)
    return list(texts), labels([attribute_values(s) for s in scenes], list(named), known)


def train_text(work_dir: Path, recipe: Recipe = TEXT_RECIPE) -> tuple[CLIPModel, CLIPTokenizer, dict[str, list[str]]]:
    """Step one. Returns the CLIP with a trained text encoder, its tokenizer and the attributes' values."""
    torch.manual_seed(recipe.seed)
    tokenizer, known = build_tokenizer(), vocabulary()

    def losses(model: nn.Module, generator: torch.Generator) -> Losses:
        seeds = torch.randint(EVALUATION_SEED, (recipe.batch_size,), generator=generator).numpy()
        texts, wanted = captions_of(seeds, known, generator)
        return {"attributes": model.heads.loss(model(tokenize(tokenizer, texts)), wanted)}

    student = fit("clip-text", TextStudent(build(tokenizer), known), losses, recipe, work_dir)
    return student.clip, tokenizer, known


def trained_text(work_dir: Path) -> tuple[CLIPModel, CLIPTokenizer, dict[str, list[str]]]:
    """What step one's checkpoint holds, however many steps it took; step one itself where there is none."""
    done = (work_dir / "clip-text.pt").exists()
    return train_text(work_dir, dataclasses.replace(TEXT_RECIPE, steps=0) if done else TEXT_RECIPE)


def train_image(out_dir: Path, work_dir: Path, renders: Renders, recipe: Recipe = IMAGE_RECIPE) -> CLIPModel:
    """Step two; saves model, tokenizer and image processor to ``out_dir``."""
    clip, tokenizer, known = trained_text(work_dir)
    clip.requires_grad_(True)
    held_out = load_renders(work_dir, 256, EVALUATION_SEED)

    def losses(model: nn.Module, generator: torch.Generator) -> Losses:
        index = pick(renders, recipe.batch_size, generator)
        texts, _ = captions_of(renders.first_seed + index, known, generator)
        everything = labels(
            [attribute_values(sample_scene(int(renders.first_seed + i))) for i in index],
            [set(known)] * len(index),
            known,
        )
        pixels = augment(to_tensor(renders.images[index]), generator)
        pooled = model.clip.vision_model(pixel_values=pixels).pooler_output
        image = F.normalize(model.clip.visual_projection(pooled), dim=-1)
        with torch.no_grad():
            text = model.clip.text_model(input_ids=tokenize(tokenizer, texts)).pooler_output
        text = F.normalize(model.clip.text_projection(text), dim=-1)
        logits = model.clip.logit_scale.exp().clamp(max=100) * text @ image.T
        return {
            "contrast": contrast(logits, texts),
            "attributes": model.heads.loss(pooled, everything, ignore_unnamed=True),
        }

    def report(model: nn.Module) -> str:
        return f"R@1 {recall(model.clip, tokenizer, held_out):.3f}"

    student = fit("clip-image", ImageStudent(clip, known), losses, recipe, work_dir, report)
    save_half(student.clip, out_dir)
    tokenizer.save_pretrained(out_dir)
    image_processor().save_pretrained(out_dir)
    return student.clip


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur and noise as the autoencoder and the diffusion model leave them. Images [N, 3, H, W] in -1..1."""
    if torch.rand((), generator=generator) < 0.5:
        blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
        images = torch.lerp(images, blurred, torch.rand(len(images), 1, 1, 1, generator=generator))
    strength = 0.08 * torch.rand(len(images), 1, 1, 1, generator=generator)
    return images + strength * torch.randn(images.shape, generator=generator)


def contrast(logits: Tensor, texts: list[str]) -> Tensor:
    """Symmetric contrastive loss; rows with the same caption count as each other's positives. logits [text, image]."""
    same = torch.tensor([[float(a == b) for b in texts] for a in texts])
    target = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@torch.no_grad()
def recall(clip: CLIPModel, tokenizer: CLIPTokenizer, renders: Renders) -> float:
    """Text-to-image R@1 of the full captions among these renders."""
    texts = [sample_scene(renders.first_seed + i) for i in range(len(renders))]
    ids = tokenize(tokenizer, [f"{s.identity.prompt()}, {s.background.prompt()}" for s in texts])
    text = clip.text_projection(clip.text_model(input_ids=ids).pooler_output)
    image = clip.visual_projection(clip.vision_model(pixel_values=to_tensor(renders.images)).pooler_output)
    scores = F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T
    return float((scores.argmax(dim=1) == torch.arange(len(scores))).float().mean())
