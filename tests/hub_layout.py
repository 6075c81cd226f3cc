"""The profiles ``sd15`` and ``sdxl`` at small size: random weights in hub layout under the repos' own names.

    root = write_hub(folder, "sd15")          # or "sdxl"
    hub_profile("sd15")                       # the profile itself, but small; pass ``models_root=root``

Every network is of the real class and goes through its own ``save_pretrained``, in the variant that the profile asks
for. Two are crafted so that there is something to see: the detector finds one person in any picture, and OpenPose's
weights (a ``.pth`` of true shape, its tensors one number each on the disk) find nobody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from standins import (
    OPEN_GATES,
    SD15,
    Shape,
    clip_config,
    clip_model,
    image_processor,
    new_controlnet,
    new_tokenizer,
    new_unet,
    new_vae,
    scheduler,
    text_config,
)

from pipeline.config import Profile, load_profile

TOKENS = 77
VITPOSE = {
    "repo": "usyd-community/vitpose-base-simple",
    "kind": "vitpose",
    "batch_size": 2,
    "license": "Apache-2.0",
    "detector": {"repo": "PekingU/rtdetr_r50vd_coco_o365", "license": "Apache-2.0"},
}
SAM2 = {"repo": "facebook/sam2.1-hiera-base-plus", "kind": "sam2", "batch_size": 2, "license": "Apache-2.0"}


def write_hub(root: Path, name: str, shape: Shape = SD15) -> Path:
    """Writes all that a profile names, except SAM's own checkpoints, below ``root``; returns it."""
    import torch

    torch.manual_seed(0)
    models = load_profile(name).models
    write_family = {"sd": _write_sd, "sdxl": _write_sdxl}[str(models.base.kind)]
    write_family(root, models, shape)
    clip = clip_model(new_tokenizer(TOKENS), shape)
    _save(clip, root / models.clip.repo, None)
    new_tokenizer(TOKENS).save_pretrained(root / models.clip.repo)
    image_processor(shape).save_pretrained(root / models.clip.repo)
    _write_safety(root / "stable-diffusion-v1-5" / "stable-diffusion-v1-5", shape)
    _write_vitpose(root)
    _write_sam2(root)
    _write_openpose(root / "lllyasviel" / "Annotators" / "body_pose_model.pth")
    return root


def hub_profile(name: str, shape: Shape = SD15, models: dict[str, Any] | None = None, **changes: Any) -> Profile:
    """The profile with small pictures, two steps, tiny's banks and open gates; files are not pinned.

    Args:
        name: ``sd15`` or ``sdxl``.
        shape: What :func:`write_hub` wrote.
        models: In place of the profile's own, by role.
        changes: Sections of the profile to update.
    """
    data = load_profile(name).model_dump()
    data["subject_bank"], data["background_bank"] = "tiny_subjects.json", "tiny_backgrounds.json"
    data["models"] |= models or {}
    for ref in data["models"].values():
        if ref:
            ref.pop("files", None)
    data["sources"]["size"] = shape.side
    for section in ("subjects", "backgrounds"):
        data[section] |= {"num_inference_steps": 2, "batch_size": 3, "max_attempts": 1, "negative_prompt": "a crowd"}
    data["quality"] = OPEN_GATES
    for section, values in changes.items():
        data[section] = {**data[section], **values}
    return Profile.model_validate(data)


def flag_everything(root: Path) -> None:
    """Rewrites the safety checker so that it flags any picture."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    folder = root / "stable-diffusion-v1-5" / "stable-diffusion-v1-5" / "safety_checker"
    checker = StableDiffusionSafetyChecker.from_pretrained(folder, variant="fp16")
    checker.concept_embeds_weights.data[:] = -2
    _save(checker, folder, "fp16")


def _write_sd(root: Path, models: Any, shape: Shape) -> None:
    from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline
    from transformers import CLIPTextModel

    tokenizer = new_tokenizer(TOKENS)
    common: dict[str, Any] = {
        "vae": new_vae(shape),
        "text_encoder": CLIPTextModel(text_config(tokenizer, shape)),
        "tokenizer": tokenizer,
        "scheduler": scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    unet = new_unet(shape, 4)
    _save(StableDiffusionPipeline(unet=unet, **common), root / models.base.repo, models.base.variant)
    inpaint = StableDiffusionInpaintPipeline(unet=new_unet(shape, 9), **common)
    _save(inpaint, root / models.inpaint.repo, models.inpaint.variant)
    _save(new_controlnet(unet, shape), root / models.controlnet.repo, models.controlnet.variant)


def _write_sdxl(root: Path, models: Any, shape: Shape) -> None:
    from diffusers import StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer, ids = new_tokenizer(TOKENS), 8
    second = text_config(tokenizer, shape)
    second.projection_dim = shape.width
    common: dict[str, Any] = {
        "vae": new_vae(shape),
        "text_encoder": CLIPTextModel(text_config(tokenizer, shape)),
        "text_encoder_2": CLIPTextModelWithProjection(second),
        "tokenizer": tokenizer,
        "tokenizer_2": new_tokenizer(TOKENS),
        "scheduler": scheduler(),
        "add_watermarker": False,
    }
    conditions = {
        "cross_attention_dim": 2 * shape.width,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": ids,
        "projection_class_embeddings_input_dim": 6 * ids + shape.width,
    }
    unet = new_unet(shape, 4, **conditions)
    _save(StableDiffusionXLPipeline(unet=unet, **common), root / models.base.repo, models.base.variant)
    inpaint = StableDiffusionXLInpaintPipeline(unet=new_unet(shape, 9, **conditions), **common)
    _save(inpaint, root / models.inpaint.repo, models.inpaint.variant)
    _save(new_controlnet(unet, shape), root / models.controlnet.repo, models.controlnet.variant)
    _save(new_vae(shape), root / models.vae.repo, models.vae.variant)


def _write_safety(folder: Path, shape: Shape) -> None:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    checker = StableDiffusionSafetyChecker(clip_config(new_tokenizer(TOKENS), shape))
    checker.concept_embeds_weights.data[:] = 2  # cosines do not reach it: nothing is flagged
    checker.special_care_embeds_weights.data[:] = 2
    _save(checker, folder / "safety_checker", "fp16")
    image_processor(shape).save_pretrained(folder / "feature_extractor")


def _write_vitpose(root: Path) -> None:
    import torch
    from transformers import (
        ResNetConfig,
        RTDetrConfig,
        RTDetrForObjectDetection,
        RTDetrImageProcessor,
        VitPoseBackboneConfig,
        VitPoseConfig,
        VitPoseForPoseEstimation,
        VitPoseImageProcessor,
    )

    backbone = VitPoseBackboneConfig(
        image_size=(64, 48), patch_size=(16, 16), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        out_indices=[1], out_features=["stage1"],
    )  # fmt: skip
    pose = VitPoseForPoseEstimation(
        VitPoseConfig(
            backbone_config=backbone, use_simple_decoder=True, num_labels=17,
            id2label={n: str(n) for n in range(17)}, label2id={str(n): n for n in range(17)},
        )
    )  # fmt: skip
    pose.head.conv.bias.data += 0.8  # a height of heatmap at which joints are there
    _save(pose, root / str(VITPOSE["repo"]), None)
    VitPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(root / str(VITPOSE["repo"]))
    resnet = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    detector = RTDetrForObjectDetection(
        RTDetrConfig(
            backbone_config=resnet, use_timm_backbone=False, use_pretrained_backbone=False,
            encoder_hidden_dim=16, encoder_in_channels=[8, 16, 16], d_model=16, num_queries=1, decoder_layers=1,
            decoder_in_channels=[16, 16, 16], encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
            decoder_attention_heads=2, num_denoising=0, id2label={0: "person", 1: "cat"},
            label2id={"person": 0, "cat": 1},
        )
    )  # fmt: skip
    for head in detector.model.decoder.class_embed:
        torch.nn.init.zeros_(head.weight)
        head.bias.data[:] = torch.tensor([4.0, -4.0])  # a person, whatever it sees
    folder = root / "PekingU" / "rtdetr_r50vd_coco_o365"
    _save(detector, folder, None)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def _write_sam2(root: Path) -> None:
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2ImageProcessor,
        Sam2MaskDecoderConfig,
        Sam2Model,
        Sam2Processor,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    hiera = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[128, 128], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 2, 2, 2], global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=hiera, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    model = Sam2Model(
        Sam2Config(
            vision_config=vision,
            prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=32, image_size=128, patch_size=16),
            mask_decoder_config=Sam2MaskDecoderConfig(
                hidden_size=32, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32
            ),
        )
    )
    folder = root / str(SAM2["repo"])
    _save(model, folder, None)
    size = {"height": 128, "width": 128}
    Sam2Processor(Sam2ImageProcessor(size=size, mask_size={"height": 32, "width": 32})).save_pretrained(folder)


def _write_openpose(path: Path) -> None:
    import torch
    from controlnet_aux.open_pose.model import bodypose_model

    with torch.device("meta"):
        network = bodypose_model()
    # as OpenPose's own file has it: without the names of the blocks
    weights = {
        ".".join(name.split(".")[1:]): torch.zeros(1).expand(value.shape)
        for name, value in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, path)


def _save(model: Any, folder: Path, variant: str | None) -> None:
    """In float32 also where the variant is called fp16: on a CPU it is loaded so anyway."""
    model.save_pretrained(folder, **({"variant": variant} if variant else {}))
