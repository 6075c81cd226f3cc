"""A whole build on one page: the plan, the sources, the duplicate check, and every shard through the other stages.

Nothing here schedules: where and when the tasks run is up to the :class:`~pipeline.runner.engine.Engine`. The manifest
is written afterwards, by :mod:`pipeline.manifest.finish`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TypeVar

from pipeline import store
from pipeline.config import BuildConfig, Profile, UserError, build_config, load_profile, manifest_stem
from pipeline.inputs.listing import list_sources
from pipeline.models.resolve import Model
from pipeline.records import Listed, Row, Source
from pipeline.runner.duplicates import Duplicates, find_duplicates
from pipeline.runner.engine import Chain, Engine, in_turn
from pipeline.runner.fragments import Fragments
from pipeline.runner.ledger import DamagedFragment, Fragment, Ledger, shared_ledger
from pipeline.runner.plan import Part, Shard, shards
from pipeline.runner.task import StageTask
from pipeline.runner.usage import noting
from pipeline.stages.base import Stage
from pipeline.stages.recipe import recipe

CONFIG = "config.json"
"""In the run's folder: what the run was last told, for ``spotdiff status``."""
_MENDED = 2
"""How many times a build makes one damaged fragment again before it blames the disk."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build that is ready to run. :func:`open_build` makes one.

    Attributes:
        fingerprints: What names each model's content, by its role.
    """

    config: BuildConfig
    profile: Profile
    stages: Sequence[Stage]
    shards: Sequence[Shard]
    fingerprints: Mapping[str, str]

    @property
    def ledger(self) -> Ledger:
        return shared_ledger(store.join(self.config.work, self.config.run))

    @property
    def tasks(self) -> list[StageTask]:
        """One a stage, in order."""
        reads: list[type[Row]] = [Listed, *(stage.row for stage in self.stages)]
        root, retry = self.ledger.root, self.config.retry
        gpus = [0.0, *(self.profile.gpus for _ in self.stages)]  # the first stage only opens files
        of_each = zip(self.stages, reads, gpus, strict=False)
        return [StageTask(stage, kind, root, retry, gpu) for stage, kind, gpu in of_each]

    def run(self, engine: Engine = in_turn) -> Fragments:
        """Does what is missing; running again goes on where an earlier run was stopped.

        A fragment that proves damaged when it is read is made again, and whatever hangs on it.
        """
        with self._noting(engine):
            return self.mending(lambda: self._run(engine))

    def run_part(self, part: Part, engine: Engine = in_turn) -> None:
        """Does one part's share of what is missing, beside other parts or alone; see :meth:`run`."""
        with self._noting(engine):
            self.mending(lambda: self._run_part(part, engine))

    def _noting(self, engine: Engine) -> AbstractContextManager[None]:
        return noting(self.ledger.root, here=not engine.elsewhere)

    def mending(self, work: Callable[[], T]) -> T:
        """Does work that reads fragments, and does it again without those that prove damaged.

        Raises:
            UserError: One is damaged each time.
        """
        damages = Counter[str]()
        while True:
            try:
                return work()
            except DamagedFragment as damage:
                self.ledger.discard(damage)
                damages[damage.path] += 1
                if damages[damage.path] > _MENDED:
                    raise UserError(f"{damage}; again, after it was made anew: check the disk") from damage

    def _run(self, engine: Engine) -> Fragments:
        store.remove_stray(self.ledger.root)
        self._begin()
        first, *rest = self.tasks
        opened = [chain[0] for chain in engine(self.shards, [first])]
        duplicates = self._duplicates(opened)
        chains = engine(self._behind(opened, duplicates), rest)
        whole = [[head, *tail] for head, tail in zip(opened, chains, strict=True)]
        self.ledger.write_index(fragment for chain in whole for fragment in chain)
        return Fragments(chains=whole, duplicates=duplicates)

    def _run_part(self, part: Part, engine: Engine) -> None:
        self._begin()
        first, *rest = self.tasks
        mine = part.of(self.shards)
        # The check looks at all sources, and parts do not wait for each other: what no other part has opened so far
        # is opened here, from the end, where the others come last.
        order = mine + [shard for shard in reversed(self.shards) if shard not in mine]
        chains = dict(zip((shard.name for shard in order), engine(order, [first]), strict=True))
        opened = [chains[shard.name][0] for shard in self.shards]
        engine(part.of(self._behind(opened, self._duplicates(opened))), rest)

    def _begin(self) -> None:
        self.ledger.look_anew()
        told = self.config.model_dump_json(indent=1, exclude={"retry"})
        store.write_bytes(store.join(self.ledger.root, CONFIG), told.encode())

    def scan(self) -> Fragments:
        """What is there, read from the ledger: computes and writes nothing, needs no model."""
        first, *rest = self.tasks
        there = self.ledger.all_of(stage.name for stage in self.stages)
        opened = [first.find(shard, None, there) for shard in self.shards]
        known = [fragment for fragment in opened if fragment]
        if len(known) < len(opened):
            return Fragments(chains=[[fragment] if fragment else [] for fragment in opened], duplicates=None)
        duplicates = self._duplicates(known)
        chains = [
            [head, *_found(shard, rest, there)]
            for head, shard in zip(known, self._behind(known, duplicates), strict=True)
        ]
        return Fragments(chains=chains, duplicates=duplicates)

    def without_retry(self) -> Build:
        """The same build, as it is to be seen when the retries are over."""
        return replace(self, config=self.config.model_copy(update={"retry": None}))

    def complete(self, found: Fragments) -> bool:
        """Whether every shard has been through every stage."""
        return found.duplicates is not None and all(len(chain) == len(self.stages) for chain in found.chains)

    def _duplicates(self, opened: Iterable[Fragment]) -> Duplicates:
        """The barrier: the one moment when the shards look at each other."""
        rows = (row for f in opened for row in self.ledger.overview(f, Source))
        return find_duplicates(rows, self.profile.sources.phash_distance)

    def _behind(self, opened: Sequence[Fragment], duplicates: Duplicates) -> list[Shard]:
        """The shards behind the barrier."""
        return [
            replace(shard, opened=fragment, duplicates=duplicates.among(fragment.sources))
            for shard, fragment in zip(self.shards, opened, strict=True)
        ]


def _found(shard: Shard, tasks: Sequence[StageTask], there: Mapping[str, Fragment]) -> Chain:
    """The finished fragments of a shard, up to the first that is missing."""
    chain: Chain = []
    for task in tasks:
        fragment = task.find(shard, chain[-1] if chain else None, there)
        if fragment is None:
            break
        chain.append(fragment)
    return chain


def open_build(config: BuildConfig, stages: Sequence[Stage] | None = None) -> Build:
    """Reads the profile and the listing; loads no model.

    Args:
        config: The build.
        stages: The first must give :class:`Source` rows; default: :func:`pipeline.stages.recipe.recipe`.

    Raises:
        UserError: Something that the config names is missing or wrong.
    """
    manifest_stem(config.manifest)  # a name that cannot be written to must not cost a build
    profile = load_profile(config.profile)
    listing = list_sources(config.sources, config.limit, config.poses)
    fingerprints: dict[str, str] = {}
    if stages is None:
        stages = recipe(profile, config)
        unused = "extractor" if config.poses else "-"  # may then be missing on this machine
        refs = {role: ref for role, ref in profile.models.roles() if not role.startswith(unused)}
        fingerprints = {role: Model(ref, config.models_root).fingerprint() for role, ref in refs.items()}
    return Build(
        config=config,
        profile=profile,
        stages=tuple(stages),
        shards=shards(listing, config.shard_size),
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
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); `spotdiff build` with the build's options mends it") from error
    if not isinstance(told, dict):
        raise UserError(f"{path} is damaged (no JSON object); `spotdiff build` with the build's options mends it")
    return build_config(**{**told, "manifest": manifest, "work": work})  # as they are called from here and now
