"""Frees the space of a finished build: pictures stand in the manifest, and need not stand in its fragments, too."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import store
from pipeline.config import UserError
from pipeline.manifest.finish import written
from pipeline.manifest.validate.manifest import validate
from pipeline.runner.build import Build
from pipeline.runner.lock import only_writer


@dataclass(frozen=True)
class Cleaned:
    """What was done.

    Attributes:
        emptied: Fragments of the build that say what was done and hold no rows any more.
        removed: Fragments of earlier settings, which nothing uses.
        freed: Bytes.
    """

    emptied: int
    removed: int
    freed: int


def clean(build: Build) -> Cleaned:
    """Drops the rows of a build's fragments once its manifest has been proved.

    What the fragments say of themselves stays, so that the finished build still answers at once. A build of other
    settings makes again what it needs of them.

    Raises:
        UserError: The build is not finished, or its manifest is not sound: nothing was dropped.
    """
    manifest = build.config.manifest
    with only_writer(manifest) as lock:
        found = build.scan()
        if not build.complete(found) or not written(build, found):
            raise UserError(f"{manifest}: its build is not finished, so its fragments are still needed")
        if problems := validate(manifest):
            raise UserError(f"{manifest}: {problems[0]} ({len(problems)} in all); nothing was dropped")
        lock.check()
        kinds = {stage.name: stage.row for stage in build.stages}
        current = {fragment.path: fragment for chain in found.chains for fragment in chain}
        before = after = emptied = removed = 0
        for stage in kinds:
            for path in store.list_files(f"{build.ledger.root}/{stage}", ".parquet"):
                size = store.size(path)
                before += size
                if path not in current:
                    store.remove(path)
                    removed += 1
                elif build.ledger.drop_rows(current[path], kinds[stage]):
                    emptied += 1
                    after += store.size(path)
                else:
                    after += size
        build.ledger.write_index(current.values())
    return Cleaned(emptied, removed, before - after)
