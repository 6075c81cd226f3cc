"""Subject and background banks: what a build draws its prompts from.

A bank is a JSON file, a list of ``{"id", "prompt", "attributes", "split"}``. Each entry belongs to one split, so that
test sources meet subjects and backgrounds that training sources never do.
"""

from __future__ import annotations

import json
import posixpath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline import ids, store
from pipeline.config import PROFILES, UserError, first_problem

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""Bank ids become parts of row keys (``source/subject/background``) and of file names."""


class BankEntry(BaseModel):
    """One subject or background.

    Attributes:
        id: Its name, unique in the bank: the manifest's ``subject_id`` or ``background_id``.
        prompt: What the text encoder is told, without the profile's template around it.
        negative_prompt: Put before the profile's own.
        attributes: What the prompt says, as data (e.g. shirt colour), for reports and probes.
        split: The split whose sources may draw it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Id
    prompt: Annotated[str, Field(min_length=1)]
    negative_prompt: str = ""
    attributes: dict[str, str | int | float | bool | None] = {}
    split: Literal["train", "validation", "test"]


class Bank(BaseModel):
    """A list of entries under a name that messages can use."""

    model_config = ConfigDict(frozen=True)

    name: str
    entries: tuple[BankEntry, ...]

    @property
    def digest(self) -> str:
        """Changes when any entry does; part of the settings of the stages that draw from the bank."""
        return ids.digest([entry.model_dump() for entry in self.entries])

    def part(self, split: str) -> tuple[BankEntry, ...]:
        """The entries that sources of a split may draw."""
        return tuple(entry for entry in self.entries if entry.split == split)

    def draw(self, split: str, count: int, source_id: str, run_seed: int) -> list[BankEntry]:
        """Entries for one source, without replacement.

        Each entry's place in the draw depends on the source, the seed and its own id alone: a larger ``count`` begins
        with the same entries, and a new entry in the bank displaces at most one drawn one.

        Raises:
            UserError: See :meth:`check`.
        """
        self.check(split, count)
        ranked = sorted(self.part(split), key=lambda entry: ids.digest(["draw", source_id, run_seed, entry.id]))
        return ranked[:count]

    def check(self, split: str, count: int) -> None:
        """Checks that ``count`` entries can be drawn.

        Raises:
            UserError: The split's part holds fewer.
        """
        there = len(self.part(split))
        if count > there:
            raise UserError(
                f"bank {self.name}: its {split} part holds {there} entries, {count} were asked for; "
                f'ask for at most {there} or add entries with "split": "{split}"'
            )


def load(name: str) -> Bank:
    """A bank by file name (shipped, beside the profiles) or by path or URL of a JSON file.

    Raises:
        UserError: No such file, not JSON, a wrong field or an id twice; the message names the file and the entry.
    """
    shipped = PROFILES / name
    path = str(shipped) if shipped.is_file() else name
    try:
        data = json.loads(store.read_bytes(path).decode("utf-8"))
        entries = TypeAdapter(tuple[BankEntry, ...]).validate_python(data)
    except OSError as error:
        raise UserError(f"bank {name!r}: {error.strerror or error}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"bank {path}: not valid JSON: {error}") from error
    except ValidationError as error:
        raise UserError(f"bank {path}: {first_problem(error)}") from error
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            raise UserError(f"bank {path}: the id {entry.id!r} stands there twice; ids must be unique")
        seen.add(entry.id)
    return Bank(name=posixpath.basename(path), entries=entries)
