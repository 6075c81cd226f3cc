"""Random-weight models in hub layout, for tests of the code around models rather than of what models know.

    root = write_standins(folder)            # 64 px, shapes of the shipped models
    root = write_standins(folder, SD15)      # 128 px, eightfold autoencoder: the shape of Stable Diffusion 1.5
    profile(root, "hub")                      # a profile that names them; pass ``models_root=root``

Written in seconds, a few MB. What they generate is noise; the control picture and the prompt still make a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Profile, load_profile

OWNER = "stand-in"
SCHEDULE = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "steps_offset": 1,
}
OPEN_GATES = {
    "min_pose_score": 0,
    "min_mask_score": 0,
    "min_mask_area": 0,
    "max_mask_area": 1,
    "min_main_component": 0,
    "min_keypoints_in_mask": 0,
    "min_clip_t_subject": -1,
    "min_sibling_distance": 0,
    "min_subject_kept": 0,
    "min_clip_t_background": -1,
    "min_image_std": 0,
}
"""Of a profile's ``[quality]``: everything with a person in it passes."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the stand-ins: side of the pictures, channels of autoencoder and UNet, width of the text encoder."""

    side: int = 64
    vae: tuple[int, ...] = (16, 32, 64)
    unet: tuple[int, ...] = (64, 128, 128)
    control: tuple[int, ...] = (16, 32, 64)
    width: int = 128

    @property
    def latent_side(self) -> int:
        return self.side // 2 ** (len(self.vae) - 1)


TINY = Shape()
SD15 = Shape(side=128, vae=(8, 16, 32, 32), unet=(32, 64, 64), control=(8, 16, 32, 32), width=64)


def write_standins(root: Path, shape: Shape = TINY, *, seed: int = 0) -> Path:
    """Writes ``root/stand-in/{diffusion,controlnet,inpainting,sam,pose,clip}``; returns ``root``."""
    import torch
    from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline
    from transformers import CLIPTextModel

    from pipeline.tiny.pose_net import PoseNet, PoseNetConfig, save_pose_net
    from pipeline.tiny.sam import SamConfig, new_sam, save_sam

    torch.manual_seed(seed)
    folder = root / OWNER
    tokenizer = new_tokenizer()
    text = CLIPTextModel(text_config(tokenizer, shape))
    common: dict[str, Any] = {
        "vae": new_vae(shape),
        "text_encoder": text,
        "tokenizer": tokenizer,
        "scheduler": scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    unet = new_unet(shape, 4)
    StableDiffusionPipeline(unet=unet, **common).save_pretrained(folder / "diffusion")
    StableDiffusionInpaintPipeline(unet=new_unet(shape, 9), **common).save_pretrained(folder / "inpainting")
    control = new_controlnet(unet, shape)
    torch.nn.init.normal_(control.controlnet_cond_embedding.conv_out.weight, std=0.1)
    control.save_pretrained(folder / "controlnet")
    clip = clip_model(tokenizer, shape)
    clip.save_pretrained(folder / "clip")
    tokenizer.save_pretrained(folder / "clip")
    image_processor(shape).save_pretrained(folder / "clip")
    config = SamConfig(
        image_size=shape.side, embed_dim=32, num_heads=2, depth=2, global_attn_indexes=(1,), prompt_dim=32
    )
    save_sam(new_sam(config), config, folder / "sam")
    save_pose_net(PoseNet(PoseNetConfig(image_size=shape.side)), folder / "pose")
    return root


def profile(root: Path, shape: Shape = TINY, **changes: Any) -> Profile:
    """The tiny profile with the stand-ins for models, and gates that let everything with a person in it pass.

    Args:
        root: Where :func:`write_standins` wrote.
        shape: What it wrote.
        changes: Sections of the profile to update, e.g. ``subjects={"num_inference_steps": 2}``.
    """
    data = load_profile("tiny").model_dump()
    for name, folder in (("base", "diffusion"), ("controlnet", "controlnet"), ("inpaint", "inpainting")):
        data["models"][name]["repo"] = f"{OWNER}/{folder}"
    for name in ("sam", "pose", "clip"):
        data["models"][name]["repo"] = f"{OWNER}/{name}"
    data["sources"]["size"] = shape.side
    data["subjects"] |= {"num_inference_steps": 2}
    data["backgrounds"] |= {"num_inference_steps": 2}
    data["quality"] = OPEN_GATES
    for section, values in changes.items():
        data[section] = {**data[section], **values}
    return Profile.model_validate(data)


def scheduler() -> Any:
    """What the UNets would have been trained with."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(**SCHEDULE)


def new_vae(shape: Shape) -> Any:
    from diffusers import AutoencoderKL

    count = len(shape.vae)
    vae = AutoencoderKL(
        block_out_channels=shape.vae,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * count,
        up_block_types=("UpDecoderBlock2D",) * count,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=shape.side,
        mid_block_add_attention=False,
    )
    vae.quant_conv.weight.data[4:] = 0
    vae.quant_conv.bias.data[4:] = -20  # a sure encoder, as trained ones are: a sample of its latents is their mode
    return vae


def new_unet(shape: Shape, channels: int, **options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=shape.latent_side,
        in_channels=channels,
        out_channels=4,
        block_out_channels=shape.unet,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        **{"cross_attention_dim": shape.width, "attention_head_dim": 4, "norm_num_groups": 16, **options},
    )


def new_controlnet(unet: Any, shape: Shape) -> Any:
    import torch
    from diffusers import ControlNetModel

    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=shape.control)
    for zero in (control.controlnet_mid_block, *control.controlnet_down_blocks):  # a fresh one does nothing at all
        torch.nn.init.normal_(zero.weight, std=0.1)
    return control


def image_processor(shape: Shape) -> Any:
    from transformers import CLIPImageProcessor

    side = shape.side
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def new_tokenizer(tokens: int = 48) -> Any:
    """A CLIP tokenizer with merges learned on the shipped banks' prompts, for texts of so many tokens."""
    import json

    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    from pipeline import banks

    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    names = ("tiny_subjects.json", "tiny_backgrounds.json")
    bpe.train_from_iterator([entry.prompt for name in names for entry in banks.load(name).entries], trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    words = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=tokens)


def text_config(tokenizer: Any, shape: Shape) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=2 * shape.width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def clip_config(tokenizer: Any, shape: Shape) -> Any:
    from transformers import CLIPConfig

    vision = {
        "hidden_size": shape.width,
        "intermediate_size": 2 * shape.width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": shape.side,
        "patch_size": 8,
    }
    text = text_config(tokenizer, shape).to_dict()
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=shape.width)


def clip_model(tokenizer: Any, shape: Shape) -> Any:
    from transformers import CLIPModel

    return CLIPModel(clip_config(tokenizer, shape))
