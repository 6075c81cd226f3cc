"""What reaches the terminal: data as text, and never as a command."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands import ROOT

HOSTILE = "a\x1b[31m\x1b]0;title\x07\x9b2J\u202eb [/red] [bold]:smile: \udcff"
CODE = """
import logging
from rich.table import Table
from flows.cli import console

text = {text!r}
console.set_up_logging(False)
console.complain(text)
console.err.print(text)
console.out.print(text, style="bold")
logging.getLogger("pipeline.inputs").warning("%s", text)
table = Table(title=text)
table.add_column(text)
table.add_row(text)
console.out.print(table)
"""


def test_a_warning_stays_one_line() -> None:
    code = """
import logging
from flows.cli import console
console.set_up_logging(False)
logging.getLogger("pipeline").warning("word " * 100)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, cwd=ROOT
    )
    assert done.stderr.splitlines() == ["WARNING " + "word " * 100]


@pytest.mark.parametrize("terminal", [False, True])
def test_control_characters_and_markup_stay_text(terminal: bool) -> None:
    environment = {"PATH": "/usr/bin", "PYTHONIOENCODING": "utf-8", "COLUMNS": "200", "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(text=HOSTILE)],
        capture_output=True, check=True, timeout=120,
        env=environment | ({"FORCE_COLOR": "1"} if terminal else {}), cwd=ROOT,
    )  # fmt: skip
    for shown in (done.stdout.decode(), done.stderr.decode()):
        for command in ("\x1b[31m", "\x1b]0;", "\x07", "\x9b", "\u202e"):
            assert command not in shown
        assert "␛" in shown
        assert "[/red] [bold]:smile:" in shown
        assert ("\x1b[" in shown) == terminal, "rich's own colours stay"
