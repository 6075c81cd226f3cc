"""A whole build: the plan, every shard through the stages, the manifest.

Nothing here schedules: where and when the steps run is up to the :class:`~pipeline.runner.engine.Engine`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline import ids, store
from pipeline.config import BuildConfig, Profile, UserError, build_config, load_profile
from pipeline.inputs.listing import list_sources
from pipeline.manifest.footer import describe
from pipeline.manifest.parts import stem_of
from pipeline.manifest.read import Manifest
from pipeline.manifest.write import write_manifest
from pipeline.models.resolve import Model
from pipeline.records import Row, Source
from pipeline.runner.duplicates import Duplicates, find_duplicates
from pipeline.runner.engine import Engine, NotDone, Step, in_turn
from pipeline.runner.ledger import Fragment, Ledger
from pipeline.runner.outcome import Fragments, Outcome, problem
from pipeline.runner.plan import Shard, shards
from pipeline.runner.run_stage import run_stage
from pipeline.stages.base import Stage
from pipeline.stages.recipe import recipe

CONFIG = "config.json"
"""In the run's folder: what the run was last told, for ``spotdiff status``."""

Given = tuple[str, Callable[[], Sequence[Row]]]
"""A stage's input: its digest, and how to read it when it is needed."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build that is ready to run. :func:`open_build` makes one.

    Attributes:
        fingerprints: What names each model's content, by its role.
        cancel: Set it, and :meth:`run` stops soon.
    """

    config: BuildConfig
    profile: Profile
    stages: Sequence[Stage]
    shards: Sequence[Shard]
    ledger: Ledger
    fingerprints: Mapping[str, str]
    cancel: threading.Event = field(default_factory=threading.Event)

    def run(self, engine: Engine = in_turn) -> Outcome:
        """Does what is missing and writes the manifest.

        Raises:
            pipeline.runner.run_stage.Cancelled: ``cancel`` was set; running again goes on from there.
        """
        store.remove_stray(self.ledger.root)
        told = self.config.model_dump_json(indent=1, exclude={"retry"})
        store.write_bytes(store.join(self.ledger.root, CONFIG), told.encode())
        return self.finish(self._fragments(engine, only_look=False))

    def look(self) -> Fragments:
        """What is there, read from the ledger: computes and writes nothing, needs no model."""
        return self._fragments(in_turn, only_look=True)

    def complete(self, found: Fragments) -> bool:
        """Whether every shard has been through every stage."""
        return found.duplicates is not None and all(len(chain) == len(self.stages) for chain in found.chains)

    def finish(self, done: Fragments) -> Outcome:
        """Writes the manifest of a complete set of fragments, unless it is there already."""
        assert self.complete(done)
        assert done.duplicates is not None
        if not self.written(done):
            footer = {**describe(self.profile, self.config, self.fingerprints), "made_of": self._made_of(done)}
            fragments = [fragment for chain in done.chains for fragment in chain]
            write_manifest(self.config.manifest, self.ledger, fragments, done.duplicates, footer)
        manifest = Manifest(self.config.manifest)
        counts, reasons = done.counts()
        return Outcome(
            manifest=self.config.manifest,
            rejected=manifest.rejected_path,
            digest=manifest.digest,
            rows=manifest.rows,
            sources=sum(len(shard.rows) for shard in self.shards),
            counts=counts,
            reasons=reasons,
            problem=problem(manifest, counts, reasons, self.config.max_failure_rate),
        )

    def written(self, done: Fragments) -> bool:
        """Whether the manifest that is there now was made of just these fragments."""
        try:
            manifest = Manifest(self.config.manifest)
        except UserError:
            return False
        return manifest.footer.get("made_of") == self._made_of(done) and store.exists(manifest.rejected_path)

    def _made_of(self, done: Fragments) -> str:
        """Digest of all that the manifest and its list of rejected rows are read from."""
        assert done.duplicates is not None
        fragments = [[f.stage, f.key, f.digest, f.counts, f.reasons] for chain in done.chains for f in chain]
        return ids.digest([fragments, sorted(done.duplicates.found)])

    def _fragments(self, engine: Engine, only_look: bool) -> Fragments:
        first, *rest = self.stages
        opened = engine(
            self.shards, [self._step(first, lambda shard, _: (shard.digest, lambda: shard.rows), only_look)]
        )
        if not all(opened):
            return Fragments(chains=opened, duplicates=None)
        # the one moment when the shards look at each other
        duplicates = self._duplicates(chain[0] for chain in opened)
        at_hand = {chain[0].shard: chain[0] for chain in opened}

        def unique(shard: Shard, _: Fragment | None) -> Given:
            fragment = at_hand[shard.name]
            return duplicates.digest(fragment), lambda: duplicates.mark(self.ledger.read(fragment, Source))

        given = [unique, *(self._output_of(stage) for stage in rest)]
        steps = [self._step(stage, rows, only_look) for stage, rows in zip(rest, given, strict=False)]
        chains = engine(self.shards, steps)
        return Fragments(
            chains=[[*head, *tail] for head, tail in zip(opened, chains, strict=True)], duplicates=duplicates
        )

    def _step(self, stage: Stage, given: Callable[[Shard, Fragment | None], Given], only_look: bool) -> Step:
        def run(shard: Shard, before: Fragment | None) -> Fragment:
            digest, rows = given(shard, before)
            return run_stage(
                stage,
                _refuse if only_look else rows,
                digest,
                shard.name,
                self.ledger,
                retry=self.config.retry,
                cancel=self.cancel,
            )

        return Step(stage.name, run)

    def _output_of(self, stage: Stage) -> Callable[[Shard, Fragment | None], Given]:
        def given(shard: Shard, before: Fragment | None) -> Given:
            assert before is not None
            return before.digest, lambda: self.ledger.read(before, stage.row)

        return given

    def _duplicates(self, fragments: Iterable[Fragment]) -> Duplicates:
        rows = (row for f in fragments for row in self.ledger.read(f, Source, leaving_out=["source_image"]))
        return find_duplicates(rows, self.profile.sources.phash_distance)


def _refuse() -> Sequence[Row]:
    raise NotDone


def open_build(config: BuildConfig, stages: Sequence[Stage] | None = None) -> Build:
    """Reads the profile and the listing; loads no model.

    Args:
        stages: The first must give :class:`Source` rows; default: :func:`pipeline.stages.recipe.recipe`.

    Raises:
        UserError: Something that the config names is missing or wrong.
    """
    stem_of(config.manifest)  # a name that cannot be written to must not cost a build
    profile = load_profile(config.profile)
    listing = list_sources(config.sources, config.limit, config.poses)
    fingerprints: dict[str, str] = {}
    if stages is None:
        stages = recipe(profile, config)
        refs = {role: ref for role, ref in profile.models if ref is not None}
        fingerprints = {role: Model(ref, config.models_root).fingerprint() for role, ref in refs.items()}
    return Build(
        config=config,
        profile=profile,
        stages=tuple(stages),
        shards=shards(listing, config.shard_size),
        ledger=Ledger(store.join(config.work, config.run)),
        fingerprints=fingerprints,
    )


def last_config(manifest: str, work: str) -> BuildConfig:
    """What the run of a manifest was last told.

    Raises:
        UserError: There has been no such run below ``work``.
    """
    run = build_config(sources=(), manifest=manifest, work=work).run
    path = store.join(work, run, CONFIG)
    try:
        told = json.loads(store.read_bytes(path))
    except FileNotFoundError as error:
        raise UserError(f"no build of {manifest} was started with --work {work} ({path} is missing)") from error
    return build_config(**told)
