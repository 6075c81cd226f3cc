"""What a run's fragments know beyond its manifest: photos, figures, what was rejected, and how long it took."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from pipeline import store
from pipeline.records import AnyRow, Posed, Subject, Variation
from pipeline.runner.ledger import DamagedFragment, Fragment, Ledger

logger = logging.getLogger(__name__)


class RunPictures:
    """Reads a run's rows source by source. A fragment without its rows costs its pictures, and stays as it is.

    Args:
        ledger: Where the fragments are read from.
        fragments: The run's current ones.
    """

    def __init__(self, ledger: Ledger, fragments: Sequence[Fragment]) -> None:
        self._ledger, self._paths = ledger, [fragment.path for fragment in fragments]
        self._told = False
        self._of_stage: dict[str, dict[str, Fragment]] = {"poses": {}, "subjects": {}, "variations": {}}
        for fragment in fragments:
            self._of_stage.get(fragment.stage, {}).update(dict.fromkeys(fragment.sources, fragment))

    def seconds(self) -> float | None:
        """From the run's first finished file to its last, pauses included; None where the files do not tell."""
        written = []
        with suppress(OSError):
            for path in filter(store.is_local, self._paths):  # a store would be asked for each
                fs, place = store.filesystem(path)
                written.append(fs.modified(place).timestamp())
        return max(written) - min(written) if len(written) > 1 else None

    def posed(self, source: str) -> Posed | None:
        """The source with its photo."""
        return next(iter(self._read("poses", source, Posed)), None)

    def subjects(self, source: str) -> list[Subject]:
        """All of the source's, rejected ones too."""
        return self._read("subjects", source, Subject, ["control"])

    def rejected(self, source: str) -> list[Variation]:
        """The source's variations that did not get in, with what picture they have."""
        rows = self._read("variations", source, Variation, ["control", "mask", "subject_image"])
        return [row for row in rows if not row.ok]

    def _read(self, stage: str, source: str, kind: type[AnyRow], leaving_out: Sequence[str] = ()) -> list[AnyRow]:
        fragment = self._of_stage[stage].get(source)
        if fragment is None:
            return []
        try:
            return self._ledger.read_source(fragment, source, kind, leaving_out)
        except DamagedFragment as damage:
            if not self._told:  # one line, be it one fragment or all, as after `spotdiff clean`
                logger.warning("photos, figures and rejected pictures are lacking: %s", damage)
            self._told = True
            self._of_stage[stage] = {key: f for key, f in self._of_stage[stage].items() if f is not fragment}
            return []
