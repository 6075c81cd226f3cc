"""How a baseline is trained (:class:`BaselineConfig`), and what is saved of it (:class:`Saved`)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spotdiff_model.config import BaseModels, Sampling

UnetPart = Literal["frozen", "kv", "full"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class BaselineConfig(_Settings):
    """One training of a baseline; what means the same is named as in :class:`~spotdiff_model.config.TrainConfig`.

    Attributes:
        reference: ``same``: native, reference and target are one picture; ``other``: our pairs.
        unet: What of the UNet is trained: nothing, keys and values of its cross-attention, or all of it.
        scale: How much of the subject is let in when pictures are made (strength, llambda).
        pictures: Pictures a subject for methods that are trained on each subject.
    """

    method: str
    manifest: str
    output_dir: str
    models_root: str | None = None
    max_train_steps: int = Field(1000, ge=1)
    train_batch_size: int = Field(16, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    lr_warmup_steps: int = Field(20, ge=0)
    adam_weight_decay: float = Field(1e-2, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    reference: Literal["other", "same"] = "other"
    unet: UnetPart = "kv"
    scale: float = Field(1.0, ge=0)
    pictures: int = Field(1, ge=1, le=4)
    seed: int = Field(0, ge=0)


class Saved(_Settings):
    """``baseline.json``.

    Attributes:
        config: Of the training.
        models, sampling: Of the manifest's profile.
        prompt_template: With ``{subject}`` and ``{background}``; of the manifest's profile.
        manifest_digest: Of the manifest that it was trained on.
        costs: Steps, passes through the UNet, seconds, trained parameters.
    """

    config: BaselineConfig
    models: BaseModels
    sampling: Sampling
    prompt_template: str
    manifest_digest: str = ""
    costs: dict[str, Any] = {}
