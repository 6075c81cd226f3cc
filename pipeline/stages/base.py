"""What a stage is, and the two helpers that all stages use.

A stage is a frozen dataclass: its fields are its settings (they enter the ledger's key), its methods turn rows into
rows. It loads nothing at import, asks :mod:`pipeline.models` for models (resident once per process), never changes
its input, never talks to a scheduler and never decides where work runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from pipeline.config import Runtime, UserError
from pipeline.models.resolve import Model
from pipeline.records import Row

logger = logging.getLogger(__name__)

In = TypeVar("In", bound=Row)
Out = TypeVar("Out", bound=Row)


class Stage(Protocol):
    """One step from rows to rows.

    Attributes:
        name: Folder of its fragments, e.g. ``subjects``.
        version: Raised by hand when the stage's code changes what comes out; part of the ledger's key.
        row: The row type that it gives out.
    """

    # Read-only, so that a stage may have them as class variables or, if it is put together, as fields.
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def row(self) -> type[Row]: ...

    def expand(self, rows: Sequence[Any]) -> list[Any]:
        """The slots to fill: blank rows of type ``row`` from ``ok`` input rows; cheap, needs no model."""
        ...

    def process(self, rows: Sequence[Any]) -> Iterator[Any]:
        """Fills slots: exactly one row out for each row in, in any order, each with its status."""
        ...

    def settings(self) -> dict[str, Any]:
        """All that the result depends on besides the input: fields, model fingerprints. JSON-able."""
        ...


NOT_FINITE = "not finite, in float32 neither"
"""Detail of a picture that came out as no numbers: cast to pixels it would be black."""


AS_USUAL = Runtime()


def made_with(vae: Model | None, runtime: Runtime) -> dict[str, Any]:
    """For a generator's settings: what else a picture's last bits depend on; nothing where all is as usual."""
    unusual = runtime.model_dump(include={"vae_slicing", "compile"}, exclude_defaults=True)
    return {**({"vae": vae.identity()} if vae else {}), **({"runtime": unusual} if unusual else {})}


def guarded(batch: Sequence[In], work: Callable[[Sequence[In]], Sequence[Out]]) -> Iterator[In | Out]:
    """Runs ``work`` on a batch; where it raises, row by row, so that one bad row cannot take the others along.

    Yields:
        The rows of ``work``, or the input row marked ``failed`` with the error.
    """
    try:
        yield from work(batch)
        return
    except UserError:  # e.g. a model that is not there: no row can do without it
        raise
    except Exception as error:  # any library error becomes data here; KeyboardInterrupt passes
        if len(batch) == 1:
            logger.warning("%s failed: %s", batch[0], error)
            yield batch[0].fail(error)
            return
    for row in batch:
        yield from guarded([row], work)


def batches(rows: Iterable[In], size: int) -> Iterator[list[In]]:
    """Consecutive batches of at most ``size`` rows that never mix two sources."""
    batch: list[In] = []
    for row in rows:
        if batch and (len(batch) == size or row.slot[0] != batch[0].slot[0]):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def padded(rows: Sequence[In], size: int) -> list[In]:
    """The rows and as many copies of the last one as make ``size``."""
    return [*rows, *[rows[-1]] * (size - len(rows))]


def joined(*prompts: str) -> str:
    """Prompts as one, comma between; empty ones are left out."""
    return ", ".join(prompt for prompt in prompts if prompt)
