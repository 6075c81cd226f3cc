"""Conditions on a manifest's columns, as SQL writes them: ``pose_score > .8 and split in ('train', 'test')``.

Grammar::

    either     := both ("or" both)*
    both       := single ("and" single)*
    single     := "not" single | "(" either ")" | column test?
    test       := operator literal | ["not"] "in" "(" literal ("," literal)* ")" | "is" ["not"] "null"
    operator   := "==" | "=" | "!=" | "<>" | "<" | "<=" | ">" | ">="
    literal    := number | 'text' | "text" | "true" | "false"
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import UserError

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<word>[A-Za-z_]\w*)
    |(?P<sign>==|!=|<>|<=|>=|[=<>(),]))""",
    re.VERBOSE,
)
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "=": operator.eq, "!=": operator.ne, "<>": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_WORDS = {"and", "or", "not", "in", "is", "null", "true", "false"}


def condition(text: str, columns: Collection[str]) -> pc.Expression:
    """The condition as an Arrow expression; nothing of the text is run.

    Raises:
        UserError: It cannot be read, or names another column; says where.
    """
    return _Parser(text, columns).whole()


class _Parser:
    def __init__(self, text: str, columns: Collection[str]) -> None:
        self.text, self.columns = text, columns
        self.tokens = list(self._split())
        self.at = 0

    def whole(self) -> pc.Expression:
        found = self._either()
        if self.at < len(self.tokens):
            raise self._wrong("'and', 'or' or the end")
        return found

    def _split(self) -> Any:
        at = 0
        while self.text[at:].strip():
            token = _TOKEN.match(self.text, at)
            if not token:
                raise UserError(f"--where {self.text!r}: cannot read {self.text[at:].strip()[:20]!r}")
            kind = str(token.lastgroup)
            value = token[kind]
            if kind == "word" and value.lower() in _WORDS:
                kind, value = "sign", value.lower()
            yield kind, value
            at = token.end()

    def _either(self) -> pc.Expression:
        found = self._both()
        while self._take("or"):
            found = found | self._both()
        return found

    def _both(self) -> pc.Expression:
        found = self._single()
        while self._take("and"):
            found = found & self._single()
        return found

    def _single(self) -> pc.Expression:
        if self._take("not"):
            return ~self._single()
        if self._take("("):
            found = self._either()
            self._need(")")
            return found
        kind, name = self._next("a column")
        if kind != "word":
            self.at -= 1
            raise self._wrong("a column")
        if name not in self.columns:
            raise UserError(f"--where {self.text!r}: no column {name!r}; there are {', '.join(self.columns)}")
        return self._test(pc.field(name))

    def _test(self, column: pc.Expression) -> pc.Expression:
        for sign, compare in _OPERATORS.items():
            if self._take(sign):
                return compare(column, pc.scalar(self._literal()))
        if self._take("is"):
            wanted = not self._take("not")
            self._need("null")
            return column.is_null() if wanted else column.is_valid()
        inverted = self._take("not")
        if inverted or self._peek("in"):
            self._need("in")
            found = column.isin(self._literals())
            return ~found if inverted else found
        return column  # a column of yes and no

    def _literals(self) -> list[Any]:
        self._need("(")
        found = [self._literal()]
        while self._take(","):
            found.append(self._literal())
        self._need(")")
        return found

    def _literal(self) -> Any:
        kind, value = self._next("a number or a text in quotes")
        if kind == "number":
            return int(value) if re.fullmatch(r"[+-]?\d+", value) else float(value)
        if kind == "text":
            return value[1:-1].replace(value[0] * 2, value[0])
        if value in ("true", "false"):
            return value == "true"
        self.at -= 1
        raise self._wrong("a number or a text in quotes")

    def _next(self, wanted: str) -> tuple[str, str]:
        if self.at == len(self.tokens):
            raise self._wrong(wanted)
        self.at += 1
        kind, value = self.tokens[self.at - 1]
        return kind, value

    def _peek(self, sign: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at] == ("sign", sign)

    def _take(self, sign: str) -> bool:
        found = self._peek(sign)
        self.at += found
        return found

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._wrong(repr(sign))

    def _wrong(self, wanted: str) -> UserError:
        here = repr(self.tokens[self.at][1]) if self.at < len(self.tokens) else "the end"
        return UserError(f"--where {self.text!r}: {here} where {wanted} is due")


def fitting(batch: pa.RecordBatch, wanted: pc.Expression | None) -> pa.RecordBatch:
    """The rows of a batch for which a condition holds.

    Raises:
        UserError: It compares what cannot be compared.
    """
    if wanted is None:
        return batch
    try:
        (found,) = pa.Table.from_batches([batch]).filter(wanted).combine_chunks().to_batches() or [batch.slice(0, 0)]
    except pa.ArrowException as error:
        raise UserError(f"--where: {str(error).splitlines()[0]}") from error
    return found
