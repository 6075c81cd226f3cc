"""Stable Diffusion 1.5's models with random weights, in hub layout for ``--models-root``: true sizes, nothing learned.

``write`` takes some minutes and 8 GB of disk. What they generate is noise, so gates must be off (``accepting.py``).
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.config import load_profile

TEXT_LENGTH, VOCABULARY = 77, 49408


def write(root: Path, say: Callable[[str], None] = lambda _: None) -> None:
    """Writes every model of the profile ``sd15`` below ``root``, weights in float16 as on the hub."""
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from segment_anything import sam_model_registry
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    models = load_profile("sd15").models
    base, inpaint = root / models.base.repo, root / models.inpaint.repo
    say("text encoder, autoencoder")
    text = CLIPTextModel(CLIPTextConfig(**_text(768, 12)))
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    for folder in (base, inpaint):
        _save(text, folder / "text_encoder")
        _save(vae, folder / "vae")
    del text, vae
    for folder, channels in ((inpaint, 9), (base, 4)):
        say(f"UNet with {channels} input channels")
        unet = UNet2DConditionModel(sample_size=64, in_channels=channels, cross_attention_dim=768)
        _save(unet, folder / "unet")
        if channels == 4:
            control = ControlNetModel.from_unet(unet)
            _save(control, root / models.controlnet.repo)
            del control
        del unet
        gc.collect()
        _rest(folder, "StableDiffusionInpaintPipeline" if channels == 9 else "StableDiffusionPipeline")
    say("CLIP L/14, safety checker")
    clip(root / models.clip.repo)
    assert models.safety_checker is not None
    checker = StableDiffusionSafetyChecker(_clip_config())
    _save(checker, root / models.safety_checker.repo / "safety_checker")
    _processor(root / models.safety_checker.repo / "feature_extractor", 224)
    say("SAM vit_b, OpenPose")
    sam = sam_model_registry["vit_b"]()
    _save_pth(sam.state_dict(), root / models.sam.repo / str(models.sam.checkpoint))
    _save_pth(_openpose(), root / models.pose.repo / str(models.pose.checkpoint))


def clip(folder: Path) -> None:
    """CLIP ViT-L/14 alone."""
    from transformers import CLIPModel

    CLIPModel(_clip_config()).save_pretrained(folder)
    _processor(folder, 224)
    _tokenizer(folder)


def _clip_config() -> Any:
    from transformers import CLIPConfig

    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    vision |= {"image_size": 224, "patch_size": 14}
    return CLIPConfig(text_config=_text(768, 12), vision_config=vision, projection_dim=768)


def _text(width: int, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY, "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
        "num_attention_heads": width // 64, "max_position_embeddings": TEXT_LENGTH, "bos_token_id": VOCABULARY - 2,
        "eos_token_id": VOCABULARY - 1, "pad_token_id": VOCABULARY - 1,
    }  # fmt: skip


def _openpose() -> dict[str, Any]:
    from controlnet_aux.open_pose.model import bodypose_model

    # the file's names lack the first part: OpenPose's own loader puts it before them
    return {name.partition(".")[2]: value for name, value in bodypose_model().state_dict().items()}


def _save(network: Any, folder: Path) -> None:
    network.half().save_pretrained(folder, variant="fp16")
    network.float()


def _save_pth(weights: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, path)


def _rest(folder: Path, kind: str) -> None:
    """What a pipeline's folder holds besides networks."""
    from diffusers import PNDMScheduler, __version__

    PNDMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, skip_prk_steps=True, steps_offset=1
    ).save_pretrained(folder / "scheduler")
    _tokenizer(folder / "tokenizer")
    index = {
        "_class_name": kind,
        "_diffusers_version": __version__,
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index), "utf-8")


def _tokenizer(folder: Path) -> None:
    """A vocabulary of CLIP's size: letters alone are words in it, the rest is never met."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = letters + [letter + "</w>" for letter in letters]
    words += [f"<unused{number}>" for number in range(VOCABULARY - 2 - len(words))]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TEXT_LENGTH)
    tokenizer.save_pretrained(folder)


def _processor(folder: Path, side: int) -> None:
    from transformers import CLIPImageProcessor

    size = {"height": side, "width": side}
    CLIPImageProcessor(size={"shortest_edge": side}, crop_size=size).save_pretrained(folder)
