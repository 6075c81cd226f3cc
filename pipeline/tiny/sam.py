"""A Segment Anything model for 64 px pictures, put together from segment_anything's own modules.

    predictor = SamPredictor(build_sam(folder))
    predictor.set_image(image)
    masks, scores, _ = predictor.predict(points, labels, box)

Patches of 4 px give a 16 x 16 embedding, so the decoder's masks have the picture's own 64 x 64 pixels.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors.torch import load_file, save_file
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn


@dataclass(frozen=True)
class SamConfig:
    """Shape of the model; ``config.json`` of a weights folder.

    Attributes:
        image_size, patch_size: Pixels.
        embed_dim, depth, num_heads, mlp_ratio: Of the image encoder.
        window_size: Side, in patches, of the windows in which the encoder's blocks attend.
        global_attn_indexes: The blocks that attend to the whole picture instead.
        prompt_dim: Width of image embedding, prompts and decoder.
        decoder_depth, decoder_heads, decoder_mlp_dim: Of the two-way transformer.
    """

    image_size: int = 64
    patch_size: int = 4
    embed_dim: int = 96
    depth: int = 4
    num_heads: int = 3
    mlp_ratio: float = 2.0
    window_size: int = 8
    global_attn_indexes: tuple[int, ...] = (2,)
    prompt_dim: int = 64
    decoder_depth: int = 2
    decoder_heads: int = 4
    decoder_mlp_dim: int = 128


def new_sam(config: SamConfig) -> Sam:
    """A model with random weights. Relative positions are left out: they double the encoder's time at this size."""
    grid = config.image_size // config.patch_size
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.num_heads,
            mlp_ratio=config.mlp_ratio,
            out_chans=config.prompt_dim,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=False,
            window_size=config.window_size,
            global_attn_indexes=config.global_attn_indexes,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=config.prompt_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=8,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=config.prompt_dim,
            transformer=TwoWayTransformer(
                config.decoder_depth, config.prompt_dim, config.decoder_heads, config.decoder_mlp_dim
            ),
            num_multimask_outputs=3,
            iou_head_depth=2,
            iou_head_hidden_dim=config.prompt_dim,
        ),
    )


def save_sam(sam: Sam, config: SamConfig, folder: Path) -> None:
    """Writes ``config.json`` and ``model.safetensors`` (float16)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", "utf-8")
    save_file(
        {name: value.half().contiguous() for name, value in sam.state_dict().items()}, folder / "model.safetensors"
    )


def build_sam(folder: str | Path) -> Sam:
    """The model of a weights folder, in float32, ready for ``SamPredictor`` and ``SamAutomaticMaskGenerator``.

    Raises:
        FileNotFoundError: ``config.json`` or ``model.safetensors`` is not there.
    """
    values = json.loads((Path(folder) / "config.json").read_text("utf-8"))
    sam = new_sam(SamConfig(**values | {"global_attn_indexes": tuple(values["global_attn_indexes"])}))
    state = load_file(Path(folder) / "model.safetensors")
    sam.load_state_dict({name: value.float() for name, value in state.items()})
    return sam.eval()
