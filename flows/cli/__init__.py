"""The ``spotdiff`` command.

Nothing heavy is imported before a command needs it: ``spotdiff --help`` must not pay for torch or Prefect. Here not
even our own modules are, so that Ctrl-C ends a command in one line from its first moment on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
_STOPPED = "Stopped. What was finished is kept.\n"


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed or a mistake of the user's, 2 wrong usage, 130 interrupted."""
    command_line(_app)


def command_line(command: Callable[[], int]) -> None:
    """Runs a command and exits with its code; what a user can cause or mend is told in one line."""
    try:
        with stopping_at_once():
            from flows.loopback import spare_loopback
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        spare_loopback(os.environ)
        code = _told(command)
    except KeyboardInterrupt:
        sys.stderr.write(_STOPPED)
        code = INTERRUPTED
    if any(thread.name == FLOW_THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # the usual end would wait with it
    sys.exit(code)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """For imports before any work has begun: Ctrl-C ends the process here and now.

    As an exception it could get lost: extension modules call back into Python while they are imported, and some
    throw away whatever is raised there.
    """

    def stop(*_: object) -> None:
        os.write(2, _STOPPED.encode())
        os._exit(INTERRUPTED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _told(command: Callable[[], int]) -> int:
    with stopping_at_once():
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
    with stopping_at_once():
        from flows.cli.app import run
    return run()
