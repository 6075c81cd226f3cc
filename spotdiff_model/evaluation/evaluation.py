"""The evaluation from its options to the finished result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipeline.config import Profile
from pipeline.manifest.read import Manifest
from pipeline.models.clip import Clip, clip
from pipeline.models.resolve import Model
from spotdiff_model.config import profile_of
from spotdiff_model.evaluation.ablations import ablation_runs, base_config, trained
from spotdiff_model.evaluation.baselines import TEXT_PROMPT, ClipFeatures, Method, baselines
from spotdiff_model.evaluation.extract import clip_features, encoded
from spotdiff_model.evaluation.features import Features
from spotdiff_model.evaluation.generation.generator import (
    embed_images,
    generate,
    generate_from_text,
    load_dino,
    picture_models,
)
from spotdiff_model.evaluation.generation.measures import PictureModels, measure_pictures
from spotdiff_model.evaluation.generation.requests import Request, make_requests
from spotdiff_model.evaluation.metrics import COPYING
from spotdiff_model.evaluation.probes.factors import Sample, read_sample
from spotdiff_model.evaluation.protocol import protocol, wanted_pictures
from spotdiff_model.evaluation.report import plots
from spotdiff_model.evaluation.report.criteria import acceptance_criteria
from spotdiff_model.evaluation.report.report import EvaluationResult
from spotdiff_model.evaluation.scoring import Scores, ScoringSettings, score_method
from spotdiff_model.evaluation.settings import EvaluateConfig

if TYPE_CHECKING:
    from spotdiff_model.model import SpotDiffEncoder
    from spotdiff_model.pipeline import SpotDiffPipeline

Say = Callable[[str], None]
"""Told what is being done."""
_SHEET = 4


def evaluate(config: EvaluateConfig, say: Say) -> EvaluationResult:
    """Judges an encoder on a manifest.

    Raises:
        UserError: Model, manifest or split are not to be had.
    """
    return _Evaluation(config, say).run()


@dataclass
class _Evaluation:
    config: EvaluateConfig
    say: Say

    def run(self) -> EvaluationResult:
        config = self.config
        encoder = self._encoder(config.model)
        manifest = Manifest(config.manifest)
        self.profile: Profile = profile_of(manifest.footer, config.manifest)
        self.seeds = list(range(config.seeds))
        self.judged = read_sample(config.manifest, config.split, config.max_rows)
        self.fitted = read_sample(config.manifest, "train", config.fit_rows)
        self.clip: Clip = clip(Model(self.profile.models.clip, config.models_root))
        self.settings = ScoringSettings() if config.mlp else ScoringSettings(mlp=None)
        self.requests: list[Request] = []
        self.models: PictureModels | None = None
        if config.generation:
            self.requests = make_requests(self.judged, wanted_pictures(config), seed=0)
        # loaded now: better no pictures at once than after minutes of probes
        pipe = self._pipeline(config.model) if self.requests else None
        ours, pictures = self._ours(encoder, pipe)
        others = [self._score(method) for method in self._baselines()]
        if pipe:
            others.append(self._text_prompt(pipe))
        if config.ablations:
            others += self._ablations(manifest.digest)
        more = {"dreambench": self._dreambench()} if config.dreambench else {}
        digest = encoder.config.manifest_digest
        factors = self.judged.factors
        return EvaluationResult(
            title=config.model,
            data={
                "path": config.manifest,
                "digest": manifest.digest,
                "trained_on_it": digest == manifest.digest,
                "split": config.split,
                "rows": len(factors),
                "subjects": len(set(factors.subject)),
                "poses": len(set(factors.pose)),
                "backgrounds": len(set(factors.background)),
            },
            protocol=protocol(
                config,
                self.profile,
                encoder.config.sampling,
                self.settings,
                {"judged": len(self.judged), "fitted": len(self.fitted), "pictures": len(self.requests)},
                self.models.pixels if self.models else None,
            ),
            ours=ours,
            others=others,
            criteria=acceptance_criteria(ours, {scores.name: scores for scores in others}),
            pictures=self._sheet(pictures) if pictures else None,
            more=more,
        )

    def _encoder(self, model: str | Path) -> SpotDiffEncoder:
        from spotdiff_model.model import SpotDiffEncoder

        return SpotDiffEncoder.from_pretrained(model).with_models_root(self.config.models_root)

    def _pipeline(self, folder: str | Path) -> SpotDiffPipeline:
        from spotdiff_model.pipeline import SpotDiffPipeline

        return SpotDiffPipeline.from_encoder(folder, self.config.models_root)

    def _ours(self, encoder: SpotDiffEncoder, pipe: SpotDiffPipeline | None) -> tuple[Scores, list[Image.Image]]:
        features = [self._features([encoder], sample) for sample in (self.judged, self.fitted)]
        remark = "The evaluated model; the spread is that of the evaluation's seeds."
        scores = self._score(Method("ours", "ours (f_s)", remark, *features))
        return scores, self._generate(pipe, scores) if pipe else []

    def _text_prompt(self, pipe: SpotDiffPipeline) -> Scores:
        """What pictures can show at best: the frozen generator with the subject's own description."""
        remark = "No encoder: pictures of the same requests with the subject's description in the place of S*."
        scores = Scores(TEXT_PROMPT, "text-prompt upper bound", remark)
        self._generate(pipe, scores, generate_from_text)
        return scores

    def _baselines(self) -> list[Method]:
        def features(sample: Sample) -> ClipFeatures:
            self.say(f"CLIP features of {len(sample)} pictures")
            return ClipFeatures(*clip_features(sample.images, self.clip), sample.factors)

        return baselines(features(self.judged), features(self.fitted), self.seeds)

    def _ablations(self, digest: str) -> list[Scores]:
        base = base_config(self.config.model, self.config.manifest)
        if self.config.models_root:
            base = base.model_copy(update={"models_root": self.config.models_root})
        runs = list(ablation_runs(base, self.seeds, self.config.folder / "ablations", self.config.ablation_steps))
        folders: list[Path] = []
        for ablation, trainings in runs:
            for training in trainings:
                self.say(f"ablation {ablation.name}, seed {training.seed}: {training.max_train_steps} steps")
                folders.append(trained(training, digest))
        encoders = [self._encoder(folder) for folder in folders]
        judged, fitted = (self._features(encoders, sample) for sample in (self.judged, self.fitted))
        found = []
        for number, (ablation, trainings) in enumerate(runs):
            own = slice(number * len(self.seeds), (number + 1) * len(self.seeds))
            remark = f"{ablation.remark} {trainings[0].max_train_steps} steps, one training per seed."
            scores = self._score(Method(ablation.name, ablation.title, remark, judged[own], fitted[own]))
            if ablation.name == COPYING and self.requests:
                self._generate(self._pipeline(folders[own][0]), scores)
            found.append(scores)
        return found

    def _features(self, encoders: Sequence[SpotDiffEncoder], sample: Sample) -> list[Features]:
        self.say(f"features of {len(sample)} pictures")
        return encoded(sample.images, encoders)

    def _score(self, method: Method) -> Scores:
        self.say(f"probes, retrieval and dependence: {method.title}")
        # attribute probes must not be asked about rows that they were fitted on
        fitted = None if self.config.split == "train" else self.fitted.factors
        return score_method(method, self.judged.factors, fitted, self.settings, self.seeds)

    def _generate(
        self, pipe: SpotDiffPipeline, scores: Scores, way: Callable[..., list[Image.Image]] = generate
    ) -> list[Image.Image]:
        """Pictures of all requests; their measures are added to the scores."""
        if self.models is None:
            self.say("what generated pictures are looked at with")
            self.models = picture_models(self.profile, self.clip, self.config.models_root, self.config.dino)
        pictures = way(pipe, self.requests, lambda done, total: self.say(f"pictures: {done} of {total}"))
        measures = measure_pictures(self.requests, pictures, self.models)
        scores.values.update({name: [value] for name, value in measures.items()})
        return pictures

    def _dreambench(self) -> dict[str, Any]:
        """In the profile's CLIP, which metrics.json names: compare it with nothing else."""
        import torch

        from spotdiff_model.evaluation.generation.dreambench import read_subjects, score_dreambench

        config = self.config
        assert config.dreambench
        subjects = read_subjects(config.dreambench)
        pipe = self._pipeline(config.model)

        def make(reference: Image.Image, prompt: str, seeds: Sequence[int]) -> list[Image.Image]:
            generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            images: list[Image.Image] = pipe(
                reference, prompt, num_images_per_prompt=len(seeds), generator=generators
            ).images
            return images

        dino = load_dino(config.dino) if config.dino else None
        return score_dreambench(
            subjects,
            make,
            partial(embed_images, self.clip),
            self.clip.text_features,
            side=self.profile.sources.size,
            images=config.dreambench_images,
            dino=dino,
            say=self.say,
        )

    def _sheet(self, pictures: Sequence[Image.Image]) -> bytes:
        """The first subjects: reference, then everything generated from it."""
        rows = []
        for subject in list(dict.fromkeys(request.subject for request in self.requests))[:_SHEET]:
            places = [place for place, request in enumerate(self.requests) if request.subject == subject]
            reference = ("reference", self.requests[places[0]].reference)
            made = [(_caption(self.requests[place]), pictures[place]) for place in places]
            rows.append((subject, [reference, *made]))
        return plots.picture_grid(rows)


def _caption(request: Request) -> str:
    return {"new_background": "", "new_pose": "new pose, ", "edit": "red hat, "}[request.part] + request.background
