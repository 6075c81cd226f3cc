"""The end of a build: from a complete set of fragments to the manifest and what came of it."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain

from pipeline import ids, store
from pipeline.config import UserError
from pipeline.manifest.footer import describe
from pipeline.manifest.generations import leftovers, newest, sweep
from pipeline.manifest.outcome import Outcome, problem
from pipeline.manifest.read import Manifest
from pipeline.manifest.write import write_manifest
from pipeline.runner.build import Build
from pipeline.runner.engine import Engine, in_turn
from pipeline.runner.fragments import Fragments
from pipeline.runner.lock import Lock, only_writer
from pipeline.runner.usage import used


def build_manifest(build: Build, engine: Engine = in_turn) -> Outcome:
    """A whole build: does what is missing, writes the manifest.

    Raises:
        UserError: Another process builds this manifest.
    """
    with only_writer(build.config.manifest) as lock:
        done = build.run(engine)
        manifest = _as_written(build, done)
        if manifest is None:
            done = _write(build, done, engine, lock)
        return _outcome(build, done, manifest)


def finish(build: Build, done: Fragments, engine: Engine = in_turn) -> Outcome:
    """Writes the manifest of a complete set of fragments, unless it is there already.

    Args:
        build: The build.
        done: Its fragments.
        engine: Makes those again that prove damaged when they are read.
    """
    assert build.complete(done)
    path = build.config.manifest
    manifest = _as_written(build, done)
    if manifest is None:
        with only_writer(path) as lock:
            done = _write(build, done, engine, lock)
    elif next(leftovers(path, manifest.generation), None):  # of a writer killed when all was in place, or still at work
        with suppress(UserError), only_writer(path):
            sweep(path, newest(path))
    return _outcome(build, done, manifest)


def _write(build: Build, done: Fragments, engine: Engine, lock: Lock) -> Fragments:
    """Writes the manifest; gives the fragments that it was made of."""
    sets = chain([done], iter(lambda: build.run(engine), None))

    def write() -> Fragments:
        whole = next(sets)
        assert build.complete(whole)
        assert whole.duplicates is not None
        usage = used(build.ledger.root, build.config.price)
        described = describe(build.profile, build.config, build.fingerprints)
        footer = {**described, "made_of": _made_of(whole), "usage": usage}
        fragments = [fragment for of_shard in whole.chains for fragment in of_shard]
        lock.check()
        write_manifest(build.config.manifest, build.ledger, fragments, whole.duplicates, footer)
        return whole

    return build.mending(write)


def _outcome(build: Build, done: Fragments, manifest: Manifest | None) -> Outcome:
    """What came of it; ``manifest``: as it has been opened already."""
    config = build.config
    manifest = manifest or Manifest(config.manifest)
    counts, reasons = done.counts()
    return Outcome(
        manifest=config.manifest,
        rejected=manifest.rejected_path,
        digest=manifest.digest,
        rows=manifest.rows,
        sources=sum(len(shard.rows) for shard in build.shards),
        counts=counts,
        reasons=reasons,
        problem=problem(manifest, counts, reasons, config.max_failure_rate),
    )


def written(build: Build, done: Fragments) -> bool:
    """Whether the manifest that is there now was made of just these fragments."""
    return _as_written(build, done) is not None


def _as_written(build: Build, done: Fragments) -> Manifest | None:
    """The manifest that is there now, if it was made of just these fragments. To open many parts takes a while."""
    try:
        manifest = Manifest(build.config.manifest)
    except UserError:
        return None
    fits = manifest.footer.get("made_of") == _made_of(done) and store.exists(manifest.rejected_path)
    return manifest if fits else None


def _made_of(done: Fragments) -> str:
    """Digest of all that the manifest and its list of rejected rows are read from."""
    assert done.duplicates is not None
    fragments = ([f.stage, f.key, f.digest, f.counts, f.reasons] for of_shard in done.chains for f in of_shard)
    return ids.digest_of_many(fragments, sorted(done.duplicates.found))
