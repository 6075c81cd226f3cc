"""The subject encoder: our reconstruction of SpotDiff (arXiv 2510.07340), of which only the abstract is known to us.

    h            = CLIP_image(x)                       frozen; some of its hidden states, side by side
    f_p, keypoints = PoseExpert(h)                     what the picture's pose is
    f_b          = BackgroundExpert(h)                 what the picture's background is
    f_s          = ConceptErasure(SubjectHead(h, pose), [f_p, f_b])
    pseudo-tokens = Aligner(f_s)                       stand at S* of a prompt, in the frozen text encoder

Suffixes of tensor names say their shape:

    N pictures            T tokens, 1 + P      P patches, side * side, row by row     I inputs, layers * channels
    W width of a layer    K keypoints, 18      D width of a feature                   Q learned queries

Attributes of modules are keys of saved weights: they keep their names.
"""

# no postponed annotations: the hub mixin reads the type of __init__'s argument
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, overload

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.imaging.openpose18 import KEYPOINTS
from spotdiff_model.config import EncoderConfig
from spotdiff_model.hub import load_weights, vision_encoder
from spotdiff_model.layers import AttentionPooling, Neighbours, Stem
from spotdiff_model.shipped import model_folder
from spotdiff_model.training.card import TEMPLATE, describe

if TYPE_CHECKING:
    from PIL import Image

_QUERIES = 8
_SHARPNESS = 4.0
"""How much more the likeliest patches count for a joint's place than their chances say: means blur."""
_MOMENTUM = 0.02
_RIDGE = 1e-3


class EncoderOutput(NamedTuple):
    """What an encoder says of N pictures.

    Attributes:
        subject: f_s ``[N, subject_dim]``.
        pose: f_p ``[N, pose_dim]``; width 0 without experts.
        background: f_b ``[N, background_dim]``; width 0 without experts.
        keypoints: ``[N, 18, 3]``: x, y in 0..1, visibility (its probability); zeros without experts.
        pseudo_tokens: Embeddings ``[N, num_pseudo_tokens, token_dim]``, to stand at ``S*``.
        raw_subject: The subject feature before concept erasure, for the erasure's moments.
        log_heatmap: ``[N, P, 18]``: logarithm of how likely which patch holds a joint; no patches without experts.
        votes: ``[N, P, 18, 2]``: where each patch takes a joint to be, x and y in image sides.
    """

    subject: Tensor
    pose: Tensor
    background: Tensor
    keypoints: Tensor
    pseudo_tokens: Tensor
    raw_subject: Tensor
    log_heatmap: Tensor
    votes: Tensor

    @property
    def nuisance(self) -> Tensor:
        """The nuisance features, f_p and f_b side by side."""
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
    """Frozen CLIP tokens -> pose, background and subject features -> pseudo-token embeddings.

    The CLIP vision encoder is no part of the module: its tokens come from a cache in training and from
    :meth:`encode_images` otherwise.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.models_root: str | None = None
        c = config
        shape = (len(c.layers) * c.channels, c.width)
        self.subject_head = SubjectHead(*shape, grid=c.grid, queries=_QUERIES, out=c.subject_dim, guided=c.experts)
        self.aligner = Aligner(c.subject_dim, c.num_pseudo_tokens, c.token_dim)
        if c.experts:
            self.pose_expert = PoseExpert(*shape, grid=c.grid, out=c.pose_dim)
            self.background_expert = BackgroundExpert(*shape, queries=_QUERIES, out=c.background_dim)
        erased = c.pose_dim + c.background_dim if c.experts and c.project else 0
        self.removal = ConceptErasure(erased, c.subject_dim)

    @overload
    def forward(self, tokens_NTI: Tensor) -> EncoderOutput: ...
    @overload
    def forward(self, tokens_NTI: Tensor, posed_MTI: Tensor) -> tuple[EncoderOutput, "PoseOutput"]: ...
    def forward(
        self, tokens_NTI: Tensor, posed_MTI: Tensor | None = None
    ) -> EncoderOutput | tuple[EncoderOutput, "PoseOutput"]:
        """Features of CLIP tokens (:meth:`spotdiff_model.hub.VisionEncoder.tokens`).

        Args:
            tokens_NTI: Of the pictures.
            posed_MTI: Of further pictures, which the pose expert alone is to see; what it sees is given, too.
        """
        output = self._features(tokens_NTI)
        return output if posed_MTI is None else (output, self.pose_expert(posed_MTI))

    def _features(self, tokens_NTI: Tensor) -> EncoderOutput:
        count = len(tokens_NTI)
        pose = background = tokens_NTI.new_zeros(count, 0)
        keypoints, log_heatmap = tokens_NTI.new_zeros(count, KEYPOINTS, 3), tokens_NTI.new_zeros(count, 0, KEYPOINTS)
        votes = tokens_NTI.new_zeros(count, 0, KEYPOINTS, 2)
        if self.config.experts:
            pose, keypoints, log_heatmap, votes = self.pose_expert(tokens_NTI)
            background = self.background_expert(tokens_NTI)
        raw = self.subject_head(tokens_NTI, log_heatmap.exp(), keypoints[..., 2])
        subject = self.removal(raw)
        return EncoderOutput(subject, pose, background, keypoints, self.aligner(subject), raw, log_heatmap, votes)

    @torch.no_grad()
    def encode_images(self, images: Sequence["Image.Image"], batch_size: int = 64) -> EncoderOutput:
        """Features of pictures, through the frozen vision encoder that the config names.

        Raises:
            UserError: The vision encoder is not to be had.
        """
        clip = vision_encoder(self.config, self.models_root)
        parameter = next(self.parameters())
        parts = []
        for start in range(0, len(images), batch_size):
            tokens = clip.tokens(images[start : start + batch_size])
            parts.append(self(tokens.to(parameter.device, parameter.dtype)))
        return EncoderOutput(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The model card, with what the config says; ``losses``, ``metrics`` and ``train_config`` may be given."""
        return super().generate_model_card(*args, **{**describe(self.config), **kwargs})

    def with_models_root(self, root: str | None) -> Self:
        """Itself, told the folder in hub layout that stands in for the hub."""
        self.models_root = root
        return self

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """As the hub mixin has it; besides, ``package:tiny`` is the encoder that ships."""
        loaded: Self = super().from_pretrained(model_folder(pretrained_model_name_or_path), **options)
        return loaded

    @classmethod
    def _from_pretrained(cls, *, model_id: str, config: EncoderConfig | None = None, **options: Any) -> Self:
        """Called by the hub mixin's ``from_pretrained``; see :func:`spotdiff_model.hub.load_weights`."""
        encoder: Self = load_weights(cls, model_id, config, **options)
        return encoder


class PoseOutput(NamedTuple):
    """What the pose expert sees in N pictures; the fields are those of :class:`EncoderOutput`."""

    feature: Tensor
    keypoints: Tensor
    log_heatmap: Tensor
    votes: Tensor


class PoseExpert(nn.Module):
    """Finds the keypoints by place, and makes f_p of nothing else.

    Each patch, with its neighbours, says how likely it holds which joint, and votes where exactly the joint is; a joint
    is the mean of the likeliest patches' votes. What is learned at one place holds everywhere, so that a few dozen
    poses teach much, where a regression from the whole picture would learn them by heart.
    """

    def __init__(self, inputs: int, width: int, grid: int, out: int) -> None:
        super().__init__()
        self.grid, self.out = grid, out
        self.stem = Stem(inputs, width)
        self.around = nn.Sequential(*(Neighbours(width, grid) for _ in range(3)))
        self.heat = nn.Linear(width, KEYPOINTS)
        self.offset = nn.Linear(width, KEYPOINTS * 2)
        # log scale and shift of the evidence
        self.there = nn.Parameter(torch.tensor([[0.0], [-1.0]]).repeat(1, KEYPOINTS))
        self.embed = nn.Linear(3 * KEYPOINTS, max(out - 3 * KEYPOINTS, 1))
        lines = (torch.arange(grid) + 0.5) / grid
        places = torch.stack(torch.meshgrid(lines, lines, indexing="xy"), dim=-1).reshape(-1, 1, 2)
        self.register_buffer("places", places, persistent=False)

    def forward(self, tokens_NTI: Tensor) -> PoseOutput:
        """What the patches say of the pose; the first token has no place and is not used."""
        patches_NPW = self.around(self.stem(tokens_NTI)[:, 1:])
        evidence_NPK = self.heat(patches_NPW).float()
        offsets_NPK2 = self.offset(patches_NPW).float().unflatten(2, (KEYPOINTS, 2))
        votes_NPK2 = self.places + offsets_NPK2 / self.grid
        weights_NPK = (_SHARPNESS * evidence_NPK).softmax(dim=1)
        xy_NK2 = torch.einsum("npk,npkc->nkc", weights_NPK, votes_NPK2)
        visibility_NK = torch.sigmoid(self.there[0].exp() * torch.logsumexp(evidence_NPK, dim=1) + self.there[1])
        keypoints_NK3 = torch.cat([xy_NK2, visibility_NK[..., None]], dim=-1)
        return PoseOutput(self._feature(keypoints_NK3), keypoints_NK3, evidence_NPK.log_softmax(dim=1), votes_NPK2)

    def _feature(self, keypoints_NK3: Tensor) -> Tensor:
        """The places as they are, to be read linearly, and bent ones, so that the erasure also takes out curves."""
        xy, visibility = keypoints_NK3[..., :2], keypoints_NK3[..., 2:]
        flat = torch.cat([(xy - 0.5) * visibility * 4, visibility * 2 - 1], dim=-1).flatten(1)
        return torch.cat([flat, torch.sin(2 * self.embed(flat))], dim=-1)[:, : self.out]


class BackgroundExpert(nn.Module):
    """A stem and an attention pooling, and CLIP's own summary by a linear map."""

    def __init__(self, inputs: int, width: int, queries: int, out: int) -> None:
        super().__init__()
        self.stem = Stem(inputs, width)
        self.pool = AttentionPooling(width, queries, out)
        self.summary = nn.Linear(inputs, out)

    def forward(self, tokens_NTI: Tensor) -> Tensor:
        """f_b ``[N, D]``; each feature has mean square 1."""
        pooled = self.pool(self.stem(tokens_NTI)) + self.summary(tokens_NTI[:, 0])
        return F.rms_norm(pooled, pooled.shape[-1:])


class SubjectHead(nn.Module):
    """Reads the subject where the pose expert has found its joints.

    One summary per joint, so that what is worn at the shoulders or the knees stands at the same place of the feature
    whatever the pose, as in re-identification with pose-guided parts (PDC, Su et al. 2017). Without a pose expert
    attention has to find the subject by itself.
    """

    def __init__(self, inputs: int, width: int, grid: int, queries: int, out: int, guided: bool) -> None:
        super().__init__()
        self.guided = guided
        self.stem = Stem(inputs, width)
        self.around = Neighbours(width, grid)
        part = max(width // 2, 8)
        if guided:
            self.values = nn.Linear(width, part)
            self.join = nn.Sequential(nn.Linear(KEYPOINTS * (part + 1), 2 * out), nn.GELU(), nn.Linear(2 * out, out))
        else:
            self.pool = AttentionPooling(width, queries, out)

    def forward(self, tokens_NTI: Tensor, heatmap_NPK: Tensor, visibility_NK: Tensor) -> Tensor:
        """The raw subject feature ``[N, D]``; each feature has mean square 1.

        Args:
            tokens_NTI: Of the vision encoder.
            heatmap_NPK: How likely which patch holds a joint.
            visibility_NK: How likely a joint is to be seen at all.
        """
        patches_NPW = self.around(self.stem(tokens_NTI)[:, 1:])
        if self.guided:
            # the pose expert learns from keypoints alone
            weights_NPK, visibility_NK1 = heatmap_NPK.detach(), visibility_NK.detach()[..., None]
            parts_NKV = torch.einsum("npk,npv->nkv", weights_NPK, self.values(patches_NPW)) * visibility_NK1
            pooled = self.join(torch.cat([parts_NKV, visibility_NK1], dim=-1).flatten(1))
        else:
            pooled = self.pool(patches_NPW)
        return F.rms_norm(pooled, pooled.shape[-1:])


class ConceptErasure(nn.Module):
    """Centres f_s and projects it off the directions in which it goes with the nuisance features f_p and f_b.

    These are the canonical directions of the two whose correlation is above a threshold: no linear map then reads from
    f_s what the experts have spotted. The projection is LEACE's (Belrose et al. 2023), with learned concepts in place
    of labels: the one that changes f_s least. It only ever takes away. Subtracting a regression of f_s on f_p and f_b
    would do the same on the training data, but adds to f_s what the experts say of backgrounds never seen before.

    The moments run along in training and are fitted exactly at its end. Centred features do not collapse: a fresh
    head's are all nearly the same, and contrast has no gradient there.
    """

    def __init__(self, nuisance: int, subject: int, threshold: float = 0.8) -> None:
        """An identity until moments are there.

        Args:
            nuisance: Width of f_p and f_b together; 0: f_s is only centred.
            subject: Width of f_s.
            threshold: Canonical correlations up to this are left: some are there by chance, the more so the fewer
                subjects and backgrounds a dataset has.
        """
        super().__init__()
        both = nuisance + subject
        self.nuisance, self.threshold = nuisance, threshold
        self.register_buffer("mean", torch.zeros(both))
        self.register_buffer("second", torch.zeros(both, both))  # running E[x x^T] of x = (f_p, f_b, f_s)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("removed", torch.zeros(subject, subject))

    def forward(self, subject_ND: Tensor) -> Tensor:
        """``[N, D]``, erased."""
        centred_ND = subject_ND - self.mean[self.nuisance :]
        return centred_ND - centred_ND @ self.removed

    @torch.no_grad()
    def update(self, subject: Tensor, nuisance: Tensor) -> None:
        """Lets the moments run along by one batch (of all devices together)."""
        x = torch.cat([nuisance, subject], dim=1).float()
        self.seen += 1
        # an ordinary mean at first, then an exponential one
        share = max(_MOMENTUM, 1.0 / float(self.seen))
        self.mean.lerp_(x.mean(dim=0), share)
        self.second.lerp_(x.T @ x / len(x), share)
        if self.seen * _MOMENTUM >= 1:  # before, correlations are mostly chance
            self._solve()

    @torch.no_grad()
    def fit(self, subject: Tensor, nuisance: Tensor) -> None:
        """Sets the moments to those of these features (of the whole training split)."""
        x = torch.cat([nuisance, subject], dim=1).double()
        self.mean.copy_(x.mean(dim=0))
        self.second.copy_(x.T @ x / len(x))
        self._solve()

    def _solve(self) -> None:
        n = self.nuisance
        if not n:
            return
        covariance = self.second.double() - torch.outer(self.mean, self.mean).double()
        whiten, colour = _roots(covariance[n:, n:])
        correlations = whiten @ covariance[n:, :n] @ _roots(covariance[:n, :n])[0]
        directions, strengths, _ = torch.linalg.svd(correlations, full_matrices=False)
        spanned = directions[:, strengths > self.threshold]
        self.removed.copy_((colour @ spanned @ spanned.T @ whiten).T)


def _roots(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse square root and square root of a covariance, with a little added to its diagonal."""
    ridge = _RIDGE * covariance.diagonal().mean().clamp(min=1e-8)
    values, vectors = torch.linalg.eigh(covariance + ridge * torch.eye(len(covariance)).to(covariance))
    roots = values.clamp(min=1e-12).sqrt()
    return vectors / roots @ vectors.T, vectors * roots @ vectors.T


class Aligner(nn.Module):
    """The subject feature as pseudo-tokens, each a mean embedding plus a function of the subject feature.

    Attributes:
        mean: Where embeddings begin; :meth:`start_at` sets it to the middle of the vocabulary.
        scale: How far embeddings move from there, per channel.
    """

    def __init__(self, subject: int, pseudo_tokens: int, token_dim: int) -> None:
        super().__init__()
        self.shape = (pseudo_tokens, token_dim)
        hidden = 4 * subject
        self.hidden = nn.Sequential(nn.Linear(subject, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.out = nn.Linear(hidden, pseudo_tokens * token_dim)
        self.mean = nn.Parameter(torch.zeros(pseudo_tokens, token_dim))
        self.scale = nn.Parameter(torch.full((token_dim,), 0.02))

    def forward(self, subject_ND: Tensor) -> Tensor:
        """``[N, pseudo_tokens, token_dim]``."""
        moved = self.out(self.hidden(F.layer_norm(subject_ND, subject_ND.shape[-1:])))
        return self.mean + self.scale * moved.unflatten(-1, self.shape)

    @torch.no_grad()
    def start_at(self, vocabulary: Tensor) -> None:
        """Begins among the token embeddings ``[V, token_dim]`` that the text encoder knows."""
        self.mean.copy_(vocabulary.mean(dim=0).expand_as(self.mean))
        self.scale.copy_(vocabulary.std(dim=0))
