"""The evaluation from its options to the finished judgement."""

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
from spotdiff_model.judgement import plots
from spotdiff_model.judgement.ablations import ablation_runs, base_config, trained
from spotdiff_model.judgement.blocks import Blocks
from spotdiff_model.judgement.contenders import TOLD, ClipFeatures, Contender, rivals
from spotdiff_model.judgement.factors import Sample, read_sample
from spotdiff_model.judgement.features import clip_features, encoded
from spotdiff_model.judgement.generation import Eyes, judge_pictures
from spotdiff_model.judgement.generator import embed_images, eyes_of, generate, generate_told, load_dino
from spotdiff_model.judgement.protocol import protocol, wanted_pictures
from spotdiff_model.judgement.report import Judgement
from spotdiff_model.judgement.requests import Request, make_requests
from spotdiff_model.judgement.scoring import Scores, ScoringSettings, score_contender
from spotdiff_model.judgement.settings import EvaluateConfig
from spotdiff_model.judgement.verdict import verdict

if TYPE_CHECKING:
    from spotdiff_model.encoder import SpotDiffEncoder
    from spotdiff_model.pipeline import SpotDiffPipeline

Say = Callable[[str], None]
"""Told what is being done."""
_COPYING = "reference-same"
_SHEET = 4


def evaluate(config: EvaluateConfig, say: Say) -> Judgement:
    """Judges an encoder on a manifest.

    Raises:
        UserError: Model, manifest or split are not to be had.
    """
    return _Evaluation(config, say).run()


@dataclass
class _Evaluation:
    config: EvaluateConfig
    say: Say

    def run(self) -> Judgement:
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
        self.eyes: Eyes | None = None
        if config.generation:
            self.requests = make_requests(self.judged, wanted_pictures(config), seed=0)
        # loaded now: better no pictures at once than after minutes of probes
        pipe = self._pipeline(config.model) if self.requests else None
        ours, pictures = self._ours(encoder, pipe)
        others = [self._score(contender) for contender in self._rivals()]
        if pipe:
            others.append(self._told(pipe))
        if config.ablations:
            others += self._ablations(manifest.digest)
        more = {"dreambench": self._dreambench()} if config.dreambench else {}
        digest = encoder.config.manifest_digest
        factors = self.judged.factors
        return Judgement(
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
                self.eyes.pixels if self.eyes else None,
            ),
            ours=ours,
            others=others,
            verdict=verdict(ours, {scores.name: scores for scores in others}),
            pictures=self._sheet(pictures) if pictures else None,
            more=more,
        )

    def _encoder(self, model: str | Path) -> SpotDiffEncoder:
        from spotdiff_model.encoder import SpotDiffEncoder

        return SpotDiffEncoder.from_pretrained(model).with_models_root(self.config.models_root)

    def _pipeline(self, folder: str | Path) -> SpotDiffPipeline:
        from spotdiff_model.pipeline import SpotDiffPipeline

        return SpotDiffPipeline.from_encoder(folder, self.config.models_root)

    def _ours(self, encoder: SpotDiffEncoder, pipe: SpotDiffPipeline | None) -> tuple[Scores, list[Image.Image]]:
        blocks = [self._blocks([encoder], sample) for sample in (self.judged, self.fitted)]
        remark = "The judged model; the spread is that of the judgement's seeds."
        scores = self._score(Contender("ours", "ours (f_s)", remark, *blocks))
        return scores, self._generate(pipe, scores) if pipe else []

    def _told(self, pipe: SpotDiffPipeline) -> Scores:
        """What pictures can show at best: the frozen generator with the subject's own description."""
        remark = "No encoder: pictures of the same requests with the subject's description in the place of S*."
        scores = Scores(TOLD, "told in words", remark)
        self._generate(pipe, scores, generate_told)
        return scores

    def _rivals(self) -> list[Contender]:
        def features(sample: Sample) -> ClipFeatures:
            self.say(f"CLIP features of {len(sample)} pictures")
            return ClipFeatures(*clip_features(sample.images, self.clip), sample.factors)

        return rivals(features(self.judged), features(self.fitted), self.seeds)

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
        judged, fitted = (self._blocks(encoders, sample) for sample in (self.judged, self.fitted))
        found = []
        for number, (ablation, trainings) in enumerate(runs):
            own = slice(number * len(self.seeds), (number + 1) * len(self.seeds))
            remark = f"{ablation.remark} {trainings[0].max_train_steps} steps, one training per seed."
            scores = self._score(Contender(ablation.name, ablation.title, remark, judged[own], fitted[own]))
            if ablation.name == _COPYING and self.requests:
                self._generate(self._pipeline(folders[own][0]), scores)
            found.append(scores)
        return found

    def _blocks(self, encoders: Sequence[SpotDiffEncoder], sample: Sample) -> list[Blocks]:
        self.say(f"features of {len(sample)} pictures")
        return encoded(sample.images, encoders)

    def _score(self, contender: Contender) -> Scores:
        self.say(f"probes, retrieval and dependence: {contender.title}")
        # attribute probes must not be asked about rows that they were fitted on
        fitted = None if self.config.split == "train" else self.fitted.factors
        return score_contender(contender, self.judged.factors, fitted, self.settings, self.seeds)

    def _generate(
        self, pipe: SpotDiffPipeline, scores: Scores, way: Callable[..., list[Image.Image]] = generate
    ) -> list[Image.Image]:
        """Pictures of all requests; their measures are added to the scores."""
        if self.eyes is None:
            self.say("what generated pictures are looked at with")
            self.eyes = eyes_of(self.profile, self.clip, self.config.models_root, self.config.dino)
        pictures = way(pipe, self.requests, lambda done, total: self.say(f"pictures: {done} of {total}"))
        measures = judge_pictures(self.requests, pictures, self.eyes)
        scores.values.update({name: [value] for name, value in measures.items()})
        return pictures

    def _dreambench(self) -> dict[str, Any]:
        """In the profile's CLIP, which metrics.json names: compare it with nothing else."""
        import torch

        from spotdiff_model.judgement.dreambench import read_subjects, score_dreambench

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
            places = [at for at, request in enumerate(self.requests) if request.subject == subject]
            reference = ("reference", self.requests[places[0]].reference)
            made = [(_caption(self.requests[at]), pictures[at]) for at in places]
            rows.append((subject, [reference, *made]))
        return plots.picture_grid(rows)


def _caption(request: Request) -> str:
    return {"new_background": "", "new_pose": "new pose, ", "edit": "red hat, "}[request.part] + request.background
