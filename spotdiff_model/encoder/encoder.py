"""The subject encoder as a whole, as it is saved and loaded."""

# no postponed annotations: the hub mixin reads the type of __init__'s argument
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn

from pipeline.config import UserError
from spotdiff_model.config import EncoderConfig
from spotdiff_model.encoder.aligner import Aligner
from spotdiff_model.encoder.card import TEMPLATE, describe
from spotdiff_model.encoder.experts import JOINTS, BackgroundExpert, PoseExpert, SubjectHead
from spotdiff_model.encoder.projection import SpanRemoval

if TYPE_CHECKING:
    from PIL import Image

_QUERIES = 8


class Spotted(NamedTuple):
    """What an encoder says of N pictures.

    Attributes:
        subject: f_s ``[N, subject_dim]``.
        pose: f_p ``[N, pose_dim]``; width 0 without experts.
        background: f_b ``[N, background_dim]``; width 0 without experts.
        keypoints: ``[N, 18, 3]``: x, y in 0..1, probability of being there; zeros without experts.
        words: ``[N, num_words, word_dim]``, to stand at ``S*``.
        raw_subject: The subject feature before the removal, for the removal's moments.
        heat: ``[N, patches, 18]``: logarithm of how likely which patch holds a joint, row by row; no patches without
            experts.
        spots: ``[N, patches, 18, 2]``: where each patch takes a joint to be.
    """

    subject: Tensor
    pose: Tensor
    background: Tensor
    keypoints: Tensor
    words: Tensor
    raw_subject: Tensor
    heat: Tensor
    spots: Tensor

    @property
    def interference(self) -> Tensor:
        """f_p and f_b side by side."""
        return torch.cat([self.pose, self.background], dim=1)


class SpotDiffEncoder(
    nn.Module,
    PyTorchModelHubMixin,
    coders={EncoderConfig: (lambda c: c.model_dump(mode="json"), EncoderConfig.model_validate)},
    library_name="spotdiff10k",
    license="apache-2.0",
    tags=["text-to-image", "personalisation", "disentanglement"],
    model_card_template=TEMPLATE,
):
    """Frozen CLIP tokens -> pose, background and subject features -> pseudo-words (our reconstruction of SpotDiff).

    The CLIP tower is no part of the module: its tokens come from a cache in training and from
    :meth:`encode_images` otherwise.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.models_root: str | None = None
        c = config
        shape = (len(c.layers) * c.channels, c.width)
        self.subject_head = SubjectHead(*shape, grid=c.grid, queries=_QUERIES, out=c.subject_dim, guided=c.experts)
        self.aligner = Aligner(c.subject_dim, c.num_words, c.word_dim)
        if c.experts:
            self.pose_expert = PoseExpert(*shape, grid=c.grid, out=c.pose_dim)
            self.background_expert = BackgroundExpert(*shape, queries=_QUERIES, out=c.background_dim)
        spanned = c.pose_dim + c.background_dim if c.experts and c.project else 0
        self.removal = SpanRemoval(spanned, c.subject_dim)

    def forward(self, tokens: Tensor) -> Spotted:
        """Features of CLIP tokens ``[N, 1 + grid * grid, layers * channels]`` (:mod:`spotdiff_model.data.tower`)."""
        count = len(tokens)
        pose = background = tokens.new_zeros(count, 0)
        keypoints, heat = tokens.new_zeros(count, JOINTS, 3), tokens.new_zeros(count, 0, JOINTS)
        spots = tokens.new_zeros(count, 0, JOINTS, 2)
        if self.config.experts:
            pose, keypoints, heat, spots = self.pose_expert(tokens)
            background = self.background_expert(tokens)
        raw = self.subject_head(tokens, heat.exp(), keypoints[..., 2])
        subject = self.removal(raw)
        return Spotted(subject, pose, background, keypoints, self.aligner(subject), raw, heat, spots)

    @torch.no_grad()
    def encode_images(self, images: Sequence["Image.Image"], batch_size: int = 64) -> Spotted:
        """Features of pictures, through the frozen CLIP tower that the config names.

        Raises:
            UserError: The tower is not to be had.
        """
        from spotdiff_model.data.tower import tower

        clip = tower(self.config, self.models_root)
        place = next(self.parameters())
        parts = []
        for start in range(0, len(images), batch_size):
            tokens = clip.tokens(images[start : start + batch_size])
            parts.append(self(tokens.to(place.device, place.dtype)))
        return Spotted(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The model card, with what the config says; ``losses``, ``metrics`` and ``train_config`` may be given."""
        return super().generate_model_card(*args, **{**describe(self.config), **kwargs})

    def with_models_root(self, root: str | None) -> Self:
        """Itself, told the folder in hub layout that stands in for the hub."""
        self.models_root = root
        return self

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        config: EncoderConfig | None = None,
        map_location: str = "cpu",
        strict: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Loads ``model.safetensors``; nothing is unpickled.

        Args:
            kwargs: What diffusers hands to each part of a pipeline; only a dtype concerns the encoder.

        Raises:
            UserError: Not the folder of an encoder.
        """
        if config is None:
            raise UserError(f"model {model_id}: no {CONFIG_NAME}; name the output folder of a training")
        path = Path(model_id) / SAFETENSORS_SINGLE_FILE
        if not Path(model_id).is_dir():
            hub: dict[str, Any] = {"revision": revision, "cache_dir": cache_dir, "force_download": force_download}
            hub |= {"token": token, "local_files_only": local_files_only}
            path = Path(str(hf_hub_download(model_id, path.name, **hub)))
        if not path.is_file():
            raise UserError(f"model {model_id}: no {path.name}; name the output folder of a training that has ended")
        encoder = cls(config)
        try:
            load_model(encoder, path, strict=strict, device=map_location)
        except (RuntimeError, SafetensorError) as error:
            why = " ".join(str(error).split())[:160]
            raise UserError(
                f"model {model_id}: {path.name} does not fit {CONFIG_NAME}; train it again ({why})"
            ) from error
        dtype = kwargs.get("dtype") or kwargs.get("torch_dtype")
        return (encoder.to(dtype) if isinstance(dtype, torch.dtype) else encoder).eval()
