"""The ``spotdiff`` command.

Nothing heavy is imported before a command needs it: ``spotdiff --help`` must not pay for torch or Prefect. Here not
even our own modules are, so that Ctrl-C ends a command in one line from its first moment on.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

INTERRUPTED = 130
FLOW_THREAD = "build-dataset"
"""Name of the thread that runs a flow. One that is still there at the end waits for a Prefect server that is gone."""
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""No telemetry from our commands unless the user asks for it."""


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed or a mistake of the user's, 2 wrong usage, 130 interrupted."""
    command_line(_app)


def command_line(command: Callable[[], int]) -> None:
    """Runs a command and exits with its code; what a user can cause or mend is told in one line."""
    try:
        from flows.loopback import spare_loopback

        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        spare_loopback(os.environ)
        code = _told(command)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. What was finished is kept.\n")
        code = INTERRUPTED
    if any(thread.name == FLOW_THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # the usual end would wait with it
    sys.exit(code)


def _told(command: Callable[[], int]) -> int:
    from pipeline.config import UserError

    try:
        return command()
    except Exception as error:
        from flows.cli.console import complain
        from pipeline.failures import told

        message = str(error) if isinstance(error, UserError) else told(error)
        if message is None:
            raise
        complain(message)
        return 1


def _app() -> int:
    from flows.cli.app import run

    return run()
