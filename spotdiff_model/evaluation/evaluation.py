"""The evaluation from its options to the finished result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipeline import store
from pipeline.config import Profile, UserError
from pipeline.imaging.png import to_png
from pipeline.manifest.read import Manifest
from pipeline.models.clip import Clip, clip
from pipeline.models.resolve import Model
from spotdiff_model.config import profile_of, sampling
from spotdiff_model.denoiser import Denoiser
from spotdiff_model.evaluation.ablations import ablation_runs, base_config, trained
from spotdiff_model.evaluation.contestants import (
    Contestant,
    Generate,
    foreign_encoder,
    made_pictures,
    trained_model,
)
from spotdiff_model.evaluation.extract import clip_features, encoded
from spotdiff_model.evaluation.features import Features
from spotdiff_model.evaluation.generation.generator import (
    embed_images,
    generate,
    generate_from_text,
    load_dino,
    picture_models,
)
from spotdiff_model.evaluation.generation.look_alikes import make_gallery
from spotdiff_model.evaluation.generation.measures import PictureModels, measure_pictures
from spotdiff_model.evaluation.generation.request_list import read_requests
from spotdiff_model.evaluation.generation.requests import Request, make_requests
from spotdiff_model.evaluation.metrics import COPYING
from spotdiff_model.evaluation.probes.factors import Sample, read_sample
from spotdiff_model.evaluation.protocol import protocol, wanted_pictures
from spotdiff_model.evaluation.report import plots
from spotdiff_model.evaluation.report.criteria import acceptance_criteria
from spotdiff_model.evaluation.report.report import EvaluationResult
from spotdiff_model.evaluation.scoring import Scores, ScoringSettings, score_method
from spotdiff_model.evaluation.settings import EvaluateConfig
from spotdiff_model.evaluation.untrained import REAL, TEXT_PROMPT, ClipFeatures, Method, untrained_baselines

if TYPE_CHECKING:
    from spotdiff_model.model import SpotDiffEncoder
    from spotdiff_model.pipeline import SpotDiffPipeline

Say = Callable[[str], None]
"""Told what is being done."""
_SHEET = 4
PICTURES = "generated"
"""Folder of the pictures that ``save_pictures`` writes."""


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
        manifest = Manifest(config.manifest)
        contestant = self._contestant()
        self.profile: Profile = profile_of(manifest.footer, config.manifest)
        self.seeds = list(range(config.seeds))
        # a written list of requests is of the whole split
        self.judged = read_sample(config.manifest, config.split, None if config.requests else config.max_rows)
        self.fitted = read_sample(config.manifest, "train", config.fit_rows) if contestant.encode else None
        self.clip: Clip = clip(Model(self.profile.models.clip, config.models_root))
        self.settings = ScoringSettings() if config.mlp else ScoringSettings(mlp=None)
        self.requests: list[Request] = []
        self.models: PictureModels | None = None
        if contestant.generate and not (config.generation or config.pictures):
            contestant = replace(contestant, generate=None)
        if contestant.generate:
            self.requests = self._requests(manifest.digest)
        ours, pictures = self._scores(contestant)
        others: list[Scores] = []
        if config.bounds:
            others += [self._score(method) for method in self._baselines()] if contestant.encode else []
            others += self._bounds() if contestant.generate else []
        if config.ablations:
            others += self._ablations(manifest.digest)
        more = {"dreambench": self._dreambench()} if config.dreambench else {}
        factors = self.judged.factors
        return EvaluationResult(
            title=config.title,
            data={
                "path": config.manifest,
                "digest": manifest.digest,
                "trained_on_it": contestant.digest == manifest.digest,
                "split": config.split,
                "rows": len(factors),
                "subjects": len(set(factors.subject)),
                "poses": len(set(factors.pose)),
                "backgrounds": len(set(factors.background)),
            },
            protocol=protocol(
                config,
                self.profile,
                contestant.sampling or sampling(self.profile),
                self.settings,
                {
                    "judged": len(self.judged),
                    "fitted": len(self.fitted) if self.fitted else 0,
                    "pictures": len(self.requests),
                },
                self.models.pixels if self.models else None,
            )
            | ({"contestant": dict(contestant.described())} if contestant.described() else {}),
            ours=ours,
            others=others,
            criteria=acceptance_criteria(ours, {scores.name: scores for scores in others}),
            pictures=self._sheet(pictures) if pictures else None,
            more=more,
        )

    def _contestant(self) -> Contestant:
        config = self.config
        if config.encoder:
            return foreign_encoder(config.encoder, config.models_root)
        if config.pictures:
            return made_pictures(config.pictures)
        return trained_model(str(config.model), config.models_root, config.generation, config.scale)

    def _requests(self, digest: str) -> list[Request]:
        if self.config.requests:
            return read_requests(self.config.requests, self.judged, digest)
        return make_requests(self.judged, wanted_pictures(self.config), seed=0)

    def _encoder(self, model: str | Path) -> SpotDiffEncoder:
        from spotdiff_model.model import SpotDiffEncoder

        return SpotDiffEncoder.from_pretrained(model).with_models_root(self.config.models_root)

    def _pipeline(self, folder: str | Path) -> SpotDiffPipeline:
        from spotdiff_model.pipeline import SpotDiffPipeline

        return SpotDiffPipeline.from_encoder(folder, self.config.models_root)

    def _scores(self, contestant: Contestant) -> tuple[Scores, list[Image.Image]]:
        """Of the evaluated one: of its features, of its pictures, or of both."""
        scores = Scores(contestant.name, contestant.title, contestant.remark)
        if contestant.encode and self.fitted:
            features = []
            for sample in (self.judged, self.fitted):
                self.say(f"features of {len(sample)} pictures")
                features.append([contestant.encode(sample.images)])
            scores = self._score(Method(contestant.name, contestant.title, contestant.remark, *features))
        if contestant.generate:
            pictures = self._generate(contestant.generate, scores)
            for request, picture in zip(self.requests, pictures, strict=True) if self.config.save_pictures else ():
                store.write_bytes(str(self.config.folder / PICTURES / f"{request.name}.png"), to_png(picture))
            return scores, pictures
        return scores, []

    def _bounds(self) -> list[Scores]:
        """What pictures can show at best: the real ones, and the frozen generator told in words."""
        real = Scores(REAL, "real pictures (ceiling)", "The dataset's own pictures of the cells that were asked for.")
        known = [request for request in self.requests if request.truth is not None]
        if known:
            pictures = [request.truth for request in known if request.truth is not None]
            self._measure(known, pictures, real)
        remark = "No encoder: pictures of the same requests with the subject's description in the place of S*."
        told = Scores(TEXT_PROMPT, "text-prompt upper bound", remark)
        try:
            denoiser = Denoiser.load(self.profile, self.config.models_root)
        except UserError as error:
            if not self.config.pictures:
                raise
            self.say(f"no text-prompt upper bound: {error}")
            return [real]
        self._generate(partial(generate_from_text, denoiser), told)
        return [real, told]

    def _baselines(self) -> list[Method]:
        def features(sample: Sample) -> ClipFeatures:
            self.say(f"CLIP features of {len(sample)} pictures")
            return ClipFeatures(*clip_features(sample.images, self.clip), sample.factors)

        assert self.fitted is not None
        return untrained_baselines(features(self.judged), features(self.fitted), self.seeds)

    def _ablations(self, digest: str) -> list[Scores]:
        base = base_config(str(self.config.model), self.config.manifest)
        if self.config.models_root:
            base = base.model_copy(update={"models_root": self.config.models_root})
        runs = list(ablation_runs(base, self.seeds, self.config.folder / "ablations", self.config.ablation_steps))
        folders: list[Path] = []
        for ablation, trainings in runs:
            for training in trainings:
                self.say(f"ablation {ablation.name}, seed {training.seed}: {training.max_train_steps} steps")
                folders.append(trained(training, digest))
        encoders = [self._encoder(folder) for folder in folders]
        assert self.fitted is not None
        judged, fitted = (self._features(encoders, sample) for sample in (self.judged, self.fitted))
        found = []
        for number, (ablation, trainings) in enumerate(runs):
            own = slice(number * len(self.seeds), (number + 1) * len(self.seeds))
            remark = f"{ablation.remark} {trainings[0].max_train_steps} steps, one training per seed."
            scores = self._score(Method(ablation.name, ablation.title, remark, judged[own], fitted[own]))
            if ablation.name == COPYING and self.requests:
                self._generate(partial(generate, self._pipeline(folders[own][0])), scores)
            found.append(scores)
        return found

    def _features(self, encoders: Sequence[SpotDiffEncoder], sample: Sample) -> list[Features]:
        self.say(f"features of {len(sample)} pictures")
        return encoded(sample.images, encoders)

    def _score(self, method: Method) -> Scores:
        self.say(f"probes, retrieval and dependence: {method.title}")
        # attribute probes must not be asked about rows that they were fitted on
        fitted = None if self.config.split == "train" or not self.fitted else self.fitted.factors
        return score_method(method, self.judged.factors, fitted, self.settings, self.seeds)

    def _generate(self, way: Generate, scores: Scores) -> list[Image.Image]:
        """Pictures of all requests; their measures are added to the scores."""
        pictures = way(self.requests, lambda done, total: self.say(f"pictures: {done} of {total}"))
        self._measure(self.requests, pictures, scores)
        return pictures

    def _measure(self, requests: Sequence[Request], pictures: Sequence[Image.Image], scores: Scores) -> None:
        if self.models is None:
            self.say("what generated pictures are looked at with")
            models = picture_models(self.profile, self.clip, self.config.models_root, self.config.dino)
            self.models = replace(models, gallery=make_gallery(self.judged, models.clip))
        measures = measure_pictures(requests, pictures, self.models)
        scores.values.update({name: [value] for name, value in measures.items()})

    def _dreambench(self) -> dict[str, Any]:
        """In the profile's CLIP, which metrics.json names: compare it with nothing else."""
        import torch

        from spotdiff_model.evaluation.generation.dreambench import read_subjects, score_dreambench

        config = self.config
        assert config.dreambench
        subjects = read_subjects(config.dreambench)
        pipe = self._pipeline(str(config.model))

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
