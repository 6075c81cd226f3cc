"""Who is evaluated: our encoder, a baseline, anybody's encoder, or a folder of anybody's pictures."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.config import UserError
from spotdiff_model.config import Sampling, TrainConfig
from spotdiff_model.evaluation.ablations import TRAIN_CONFIG
from spotdiff_model.evaluation.extract import decoded, encoded
from spotdiff_model.evaluation.features import Features
from spotdiff_model.evaluation.generation.generator import PictureProgress, generate
from spotdiff_model.evaluation.generation.requests import Request

Encode = Callable[[Sequence[bytes]], Features]
"""PNGs to features."""
Generate = Callable[[Sequence[Request], PictureProgress], list[Image.Image]]
OURS = "ours"


@dataclass(frozen=True, eq=False)
class Contestant:
    """Somebody to evaluate.

    Attributes:
        name: Its key in metrics.json.
        title, remark: For people.
        encode: None: it has no features.
        generate: None: it makes no pictures.
        digest: Of the manifest that it was trained on; empty: nobody says.
        sampling: How it samples; None: as the manifest's profile says.
        described: What else the protocol is to say of it; JSON-able. Read after generation: costs are in it.
    """

    name: str
    title: str
    remark: str
    encode: Encode | None
    generate: Generate | None
    digest: str = ""
    sampling: Sampling | None = None
    described: Callable[[], Mapping[str, Any]] = field(default=dict)


def trained_model(folder: str, models_root: str | None, pictures: bool, scale: float | None = None) -> Contestant:
    """Our encoder, or a baseline: what ``python -m spotdiff_model.train`` has left in a folder.

    Args:
        folder: That folder, or an encoder's repo on the hub.
        models_root: Folder in hub layout that stands in for the hub.
        pictures: Whether it is to generate.
        scale: Of a baseline, strength of the subject in its pictures; it is then judged by them alone, as features do
            not depend on it. None: as it was trained.

    Raises:
        UserError: It is not to be had, or has no scale.
    """
    from spotdiff_model.baselines.registry import CONFIG

    if (Path(folder) / CONFIG).is_file():
        return _baseline(folder, models_root, scale)
    if scale is not None:
        raise UserError(f"--scale: is of baselines, and {folder} holds none")
    return _ours(folder, models_root, pictures)


def _ours(folder: str, models_root: str | None, pictures: bool) -> Contestant:
    from spotdiff_model.model import SpotDiffEncoder
    from spotdiff_model.pipeline import SpotDiffPipeline

    encoder = SpotDiffEncoder.from_pretrained(folder).with_models_root(models_root)
    # loaded now: better no pictures at once than after minutes of probes
    pipe = SpotDiffPipeline.from_encoder(folder, models_root) if pictures else None

    def make(requests: Sequence[Request], progress: PictureProgress) -> list[Image.Image]:
        assert pipe is not None
        return generate(pipe, requests, progress)

    return Contestant(
        name=OURS,
        title="ours (f_s)",
        remark="The evaluated model; the spread is that of the evaluation's seeds.",
        encode=lambda images: encoded(images, [encoder])[0],
        generate=make if pictures else None,
        digest=encoder.config.manifest_digest,
        sampling=encoder.config.sampling,
        described=lambda: _training(folder),
    )


def _training(folder: str) -> Mapping[str, Any]:
    """What our training cost, as far as its folder tells: the UNet learns, and teaches where there is distillation."""
    path = Path(folder) / TRAIN_CONFIG
    if not path.is_file():
        return {}
    config = TrainConfig.model_validate_json(path.read_text("utf-8"))
    passes = bool(config.noise_weight or config.distillation_weight) + bool(config.distillation_weight)
    return {"costs": {"steps": config.max_train_steps, "unet_passes": passes * config.max_train_steps}}


def _baseline(folder: str, models_root: str | None, scale: float | None) -> Contestant:
    from spotdiff_model.baselines.registry import load_baseline

    baseline = load_baseline(folder, models_root)
    if scale is not None:
        baseline.scale = scale

    def features(images: Sequence[bytes]) -> Features:
        return Features(np.concatenate([baseline.encode(pictures) for pictures in decoded(images)]))

    return Contestant(
        name=baseline.config.method,
        title=baseline.title,
        remark=f"Reads in training: {', '.join(baseline.reads) or 'pictures only'}.",
        encode=features if baseline.has_features and scale is None else None,
        generate=baseline.generate,
        digest=baseline.saved.manifest_digest,
        sampling=baseline.saved.sampling,
        described=baseline.described,
    )


def foreign_encoder(name: str, models_root: str | None) -> Contestant:
    """Anybody's encoder.

    Args:
        name: ``module:function``, called with a list of RGB pictures; it returns ``[N, D]``, or a mapping with
            ``subject`` and, where it has them, ``pose``, ``background``, ``keypoints``. Else a model in transformers'
            layout: folder, folder in ``models_root``, or repo on the hub.
        models_root: Folder in hub layout that stands in for the hub.

    Raises:
        UserError: It is not to be had, or returns something else.
    """
    called = _function(name) if _names_function(name) else _transformers(name, models_root)

    def features(images: Sequence[bytes]) -> Features:
        parts = [_checked(name, called(pictures), len(pictures)) for pictures in decoded(images)]
        return Features(**{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})

    remark = "Its features as they are; nothing was trained for this evaluation."
    return Contestant("encoder", name, remark, features, None)


def made_pictures(folder: str) -> Contestant:
    """Anybody's pictures, one for each request of a list: ``FOLDER/<id>.png``."""

    def read(requests: Sequence[Request], progress: PictureProgress) -> list[Image.Image]:
        paths = [Path(folder) / f"{request.name}.png" for request in requests]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise UserError(
                f"--pictures {folder}: {len(missing)} of {len(paths)} pictures are not there, the first is "
                f"{missing[0].name}; each is named after the id of its line in the list of requests"
            )
        pictures = [_opened(path, request.reference.size) for path, request in zip(paths, requests, strict=True)]
        progress(len(pictures), len(requests))
        return pictures

    return Contestant("pictures", folder, "Somebody's pictures of the same requests.", None, read)


def _opened(path: Path, size: tuple[int, int]) -> Image.Image:
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (OSError, ValueError) as error:
        raise UserError(f"--pictures {path}: not a readable picture ({error})") from error
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _names_function(name: str) -> bool:
    return ":" in name and not Path(name).exists()


def _function(name: str) -> Callable[[list[Image.Image]], Any]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, ValueError) as error:
        raise UserError(f"--encoder {name}: no module {module!r} ({error}); run it where it can be imported") from error
    except AttributeError as error:
        raise UserError(f"--encoder {name}: module {module!r} has no {function!r}") from error
    if not callable(found):
        raise UserError(f"--encoder {name}: {function!r} is no function")
    called: Callable[[list[Image.Image]], Any] = found
    return called


def _transformers(name: str, models_root: str | None) -> Callable[[list[Image.Image]], Any]:
    import torch
    from transformers import AutoImageProcessor, AutoModel

    from pipeline.models.device import device, quieten

    quieten()
    local = Path(models_root or "") / name
    place = str(local) if models_root and local.is_dir() else name
    try:
        processor: Any = AutoImageProcessor.from_pretrained(place)
        model = AutoModel.from_pretrained(place, use_safetensors=True, dtype=torch.float32).to(device()).eval()
    except (OSError, ValueError) as error:
        remedy = "name a folder in transformers' layout, a repo of the hub, or module:function"
        raise UserError(f"--encoder {name}: not on this machine and not to be had from the hub; {remedy}") from error

    def encode(images: list[Image.Image]) -> np.ndarray:
        pixels = processor(images=images, return_tensors="pt").pixel_values.to(model.device, model.dtype)
        with torch.inference_mode():
            # contrastive models embed pictures; others are read at their class token
            embeds = hasattr(model, "get_image_features")
            out = model.get_image_features(pixels) if embeds else model(pixel_values=pixels)
        if not embeds:
            out = out.last_hidden_state[:, 0] if out.last_hidden_state.ndim == 3 else out.pooler_output.flatten(1)
        elif not isinstance(out, torch.Tensor):
            out = out.pooler_output
        features: np.ndarray = out.float().cpu().numpy()
        return features

    return encode


def _checked(name: str, found: Any, count: int) -> dict[str, np.ndarray]:
    """What an encoder returned, by the names of :class:`Features`."""
    named = dict(found) if isinstance(found, Mapping) else {"subject": found}
    unknown = set(named) - set(Features.__dataclass_fields__)
    if unknown or "subject" not in named:
        raise UserError(f"--encoder {name}: returned {', '.join(map(str, named))}; 'subject' is needed, others may be "
                        "'pose', 'background', 'keypoints'")  # fmt: skip
    arrays = {}
    for key, value in named.items():
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        shape = (count, 18, 3) if key == "keypoints" else (count, *array.shape[1:2])
        if array.shape != shape or array.ndim < 2:
            raise UserError(f"--encoder {name}: {key!r} is {array.shape} for {count} pictures, not {count} rows")
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise UserError(f"--encoder {name}: {key!r} holds values that are no finite numbers")
        arrays[key] = array
    return arrays
