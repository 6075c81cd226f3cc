"""The end of a build: from a complete set of fragments to the manifest and what came of it."""

from __future__ import annotations

from pipeline import ids, store
from pipeline.config import UserError
from pipeline.manifest.footer import describe
from pipeline.manifest.generations import newest, sweep
from pipeline.manifest.outcome import Outcome, problem
from pipeline.manifest.read import Manifest
from pipeline.manifest.write import write_manifest
from pipeline.runner.build import Build
from pipeline.runner.engine import Engine, in_turn
from pipeline.runner.fragments import Fragments


def build_manifest(build: Build, engine: Engine = in_turn) -> Outcome:
    """A whole build: does what is missing, writes the manifest."""
    return finish(build, build.run(engine))


def finish(build: Build, done: Fragments) -> Outcome:
    """Writes the manifest of a complete set of fragments, unless it is there already."""
    assert build.complete(done)
    assert done.duplicates is not None
    config = build.config
    if not written(build, done):
        footer = {**describe(build.profile, config, build.fingerprints), "made_of": _made_of(done)}
        fragments = [fragment for chain in done.chains for fragment in chain]
        write_manifest(config.manifest, build.ledger, fragments, done.duplicates, footer)
    else:
        sweep(config.manifest, newest(config.manifest))  # of a writer that was killed when all was in place
    manifest = Manifest(config.manifest)
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
    try:
        manifest = Manifest(build.config.manifest)
    except UserError:
        return False
    return manifest.footer.get("made_of") == _made_of(done) and store.exists(manifest.rejected_path)


def _made_of(done: Fragments) -> str:
    """Digest of all that the manifest and its list of rejected rows are read from."""
    assert done.duplicates is not None
    fragments = [[f.stage, f.key, f.digest, f.counts, f.reasons] for chain in done.chains for f in chain]
    return ids.digest([fragments, sorted(done.duplicates.found)])
