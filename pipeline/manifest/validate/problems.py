"""How the validation says what is wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

_SHOWN = 20
AGAIN = "get the file again or build it again"
MEND = "`spotdiff filter MANIFEST --out F` writes a sound one of its rows, or build it again"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        row: Number of the row in the manifest, from 0; None where it is about the whole.
        column: None where it is about no column in particular.
        message: What is wrong.
        remedy: What can be done; empty where the message says it.
    """

    row: int | None
    column: str | None
    message: str
    remedy: str = AGAIN

    def __str__(self) -> str:
        places = [f"row {self.row}" if self.row is not None else "", f"column {self.column}" if self.column else ""]
        place = ", ".join(part for part in places if part)
        said = f"{place}: {self.message}" if place else self.message
        return f"{said}; {self.remedy}" if self.remedy else said


class Problems:
    """Collects problems; a fault that runs through a whole column is listed some times and then counted."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._more: Counter[tuple[str | None, str]] = Counter()
        self._seen: Counter[tuple[str | None, str]] = Counter()

    def add(self, row: int | None, column: str | None, message: str, kind: str = "", remedy: str = AGAIN) -> None:
        """Adds a problem; ``kind`` tells apart what counts as the same fault (default: the message)."""
        fault = column, kind or message
        self._seen[fault] += 1
        if row is None or self._seen[fault] <= _SHOWN:
            self._found.append(Problem(row, column, message, remedy))
        else:
            self._more[fault] += 1

    def list(self) -> list[Problem]:
        rest = [
            Problem(None, column, f"{what}: {n} more rows") for (column, what), n in sorted(self._more.items(), key=str)
        ]
        return [*self._found, *rest]
