"""The ``spotdiff`` command.

Nothing heavy is imported before a command needs it: ``spotdiff --help`` must not pay for torch or Prefect.
"""

from __future__ import annotations

import os
import sys

from pipeline.config import UserError

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""No telemetry from our commands unless the user asks for it."""


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed or a mistake of the user's, 2 wrong usage, 130 interrupted."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from flows.cli.app import app
    from flows.cli.console import complain

    try:
        app()
    except UserError as error:
        complain(str(error))
        sys.exit(1)
