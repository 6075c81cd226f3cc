"""Trains the small SAM on renders and on pictures of two people, prompted as the pipeline prompts it.

As in Segment Anything (arXiv 2304.02643): of the three masks only the best one learns, the IoU head learns to say how
good each is, and the mask loss is 20 x focal + dice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.imaging.openpose18 import KEYPOINTS
from pipeline.tiny.sam import SamConfig, new_sam, save_sam
from tinyworld.training.augment import degrade, generator_of
from tinyworld.training.loop import Losses, Recipe, fit
from tinyworld.training.measure import keypoint_box, score_sam
from tinyworld.training.pairs import TwoPeople, load_pairs
from tinyworld.training.renders import EVALUATION_SEED, Renders, load_renders

RECIPE = Recipe(steps=4000, batch_size=16, learning_rate=1e-3, warmup=200, decay=0.5, weight_decay=0.02)
CONFIG = SamConfig()
PAIRS = 8000
PAIR_SHARE = 0.2
JITTER = 0.02
"""Standard deviation of the error of a prompt point, in image sides."""
_MAX_POINTS = KEYPOINTS
_NOT_A_POINT = -1


def decode(sam: Sam, embeddings: Tensor, points: Tensor, labels: Tensor, boxes: Tensor | None) -> tuple[Tensor, Tensor]:
    """What ``MaskDecoder.predict_masks`` does, for B different pictures with a prompt each (it takes one picture only).

    Args:
        embeddings: [B, C, G, G]. points: [B, K, 2] pixels. labels: [B, K]. boxes: [B, 4] pixels.

    Returns:
        Mask logits [B, 4, 4G, 4G] and predicted IoU [B, 4]; the first is the single-mask output.
    """
    decoder = sam.mask_decoder
    sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=boxes, masks=None)
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])[None].expand(len(embeddings), -1, -1)
    source, places = embeddings + dense, sam.prompt_encoder.get_dense_pe().expand(len(embeddings), -1, -1, -1)
    hidden, image = decoder.transformer(source, places, torch.cat([tokens, sparse], dim=1))
    pixels = decoder.output_upscaling(image.transpose(1, 2).reshape(source.shape))
    heads = decoder.output_hypernetworks_mlps
    kernels = torch.stack([head(hidden[:, 1 + i]) for i, head in enumerate(heads)], dim=1)
    masks = torch.einsum("bmc,bchw->bmhw", kernels, pixels)
    return masks, decoder.iou_prediction_head(hidden[:, 0])


def losses_of(masks: Tensor, scores: Tensor, truth: Tensor) -> Losses:
    """Losses of mask logits [B, 4, S, S] and predicted IoU [B, 4] against the true masks [B, S, S]."""
    goal = truth[:, None].float().expand_as(masks)
    p = masks.sigmoid()
    right = torch.where(goal > 0, p, 1 - p)
    focal = ((1 - right).pow(2) * F.binary_cross_entropy_with_logits(masks, goal, reduction="none")).mean((2, 3))
    dice = 1 - (2 * (p * goal).sum((2, 3)) + 1) / (p.sum((2, 3)) + goal.sum((2, 3)) + 1)
    each = 20 * focal + dice  # [B, 4]
    hard = masks > 0
    iou = (hard & (goal > 0)).sum((2, 3)) / (hard | (goal > 0)).sum((2, 3)).clamp(min=1)
    return {
        "single": each[:, 0].mean(),
        "best": each[:, 1:].amin(1).mean(),
        "iou": F.mse_loss(scores, iou.detach()),
    }


def draw_prompts(
    keypoints: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Prompts for figures [B, 18, 3], all with the same random number of points K; fewer visible ones are padded.

    Returns:
        Points [B, K, 2] in pixels, labels [B, K] (1, or -1 for padding), boxes [B, 4] in pixels or (rarely) None.
    """
    count = len(keypoints)
    most = int(rng.integers(3, _MAX_POINTS + 1))
    points, labels = np.zeros((count, most, 2), np.float32), np.full((count, most), _NOT_A_POINT, np.int64)
    boxes = np.zeros((count, 4), np.float32)
    for i, figure in enumerate(keypoints):
        seen = figure[figure[:, 2] > 0, :2] + rng.normal(0, JITTER * rng.random(), (int((figure[:, 2] > 0).sum()), 2))
        chosen = rng.permutation(len(seen))[:most]
        points[i, : len(chosen)], labels[i, : len(chosen)] = seen[chosen] * size, 1
        boxes[i] = keypoint_box(seen) * size
    used = max(1, int((labels == 1).sum(1).max()))
    return points[:, :used], labels[:, :used], boxes if rng.random() < 0.9 else None


def draw_batch(
    renders: Renders, pairs: TwoPeople, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Degraded pictures [N, 64, 64, 3], the prompted figure's mask [N, 64, 64] and its keypoints [N, 18, 3]."""
    images, masks, keypoints = [], [], []
    for double in rng.random(count) < PAIR_SHARE:
        i, person = int(rng.integers(len(pairs) if double else len(renders))), int(rng.integers(2))
        images.append(pairs.images[i] if double else renders.images[i])
        masks.append(pairs.masks[i, person] if double else renders.masks[i])
        keypoints.append(pairs.keypoints[i, person] if double else renders.keypoints[i])
    return degrade(np.stack(images), rng), np.stack(masks), np.stack(keypoints)


def train(
    out_dir: Path,
    work_dir: Path,
    renders: Renders,
    recipe: Recipe = RECIPE,
    config: SamConfig = CONFIG,
    pairs: int = PAIRS,
) -> Sam:
    """Trains, measures at each checkpoint, and writes ``config.json`` and ``model.safetensors`` to ``out_dir``."""
    doubles = load_pairs(work_dir, pairs)
    held_out = load_renders(work_dir, 256, EVALUATION_SEED)

    def losses(model: nn.Module, generator: torch.Generator) -> Losses:
        assert isinstance(model, Sam)
        rng = generator_of(generator)
        images, truth, keypoints = draw_batch(renders, doubles, recipe.batch_size, rng)
        points, labels, boxes = draw_prompts(keypoints, config.image_size, rng)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        masks, scores = decode(
            model,
            model.image_encoder(model.preprocess(pixels)),
            torch.from_numpy(points),
            torch.from_numpy(labels),
            None if boxes is None else torch.from_numpy(boxes),
        )
        return losses_of(masks, scores, torch.from_numpy(truth))

    def measure(model: nn.Module) -> str:
        assert isinstance(model, Sam)
        found = score_sam(model, held_out.images[:128], held_out.masks[:128], held_out.keypoints[:128])
        return " ".join(f"{name} {value:.4f}" for name, value in found.items())

    torch.manual_seed(recipe.seed)
    model = fit("sam", new_sam(config), losses, recipe, work_dir, measure)
    assert isinstance(model, Sam)
    save_sam(model, config, out_dir)
    return model
