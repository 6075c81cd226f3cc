"""``spotdiff build``: answers from the ledger, or runs the flow with a live display."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

from flows.cli.console import complain, err, set_up_logging
from flows.cli.sheets import draw, sheets_folder
from flows.cli.summary import show_summary
from flows.progress import tally_of
from flows.server import reachable, running_server
from pipeline.config import BuildConfig, UserError
from pipeline.manifest.finish import finish
from pipeline.manifest.outcome import Outcome
from pipeline.runner import events
from pipeline.runner.build import Build, open_build
from pipeline.runner.fragments import Fragments
from pipeline.runner.lock import refuse_second

INTERRUPTED = 130
LIBRARIES = {
    "diffusers": ("ControlNetModel", "StableDiffusionControlNetPipeline", "StableDiffusionInpaintPipeline"),
    "transformers": ("CLIPModel", "CLIPTokenizer", "CLIPImageProcessor"),
    "segment_anything": (),
    "controlnet_aux": (),
}
AUTOMATIC_SHEETS = 24
"""Sources whose contact sheets a build draws by itself; ``spotdiff contact-sheet`` draws all."""


def run_build(config: BuildConfig, workers: int | None, verbose: bool) -> int:
    """Runs a build; gives the exit code."""
    set_up_logging(verbose)
    build = open_build(config)
    found = build.scan()
    fresh = not build.complete(found)
    if fresh:
        refuse_second(config.manifest)
        try:
            _run_flow(build, workers, verbose)
        except KeyboardInterrupt:
            err.print("Stopped. What was finished is kept: the same command goes on from here.", style="yellow")
            return INTERRUPTED
        build = build.without_retry()
        found = build.scan()
    return _report(build, finish(build, found), found, fresh)


def _report(build: Build, outcome: Outcome, found: Fragments, fresh: bool) -> int:
    if outcome.rows:
        folder = sheets_folder(outcome.manifest)
        if folder and (fresh or not folder.is_dir()):
            draw(build, found, folder, AUTOMATIC_SHEETS)
        show_summary(outcome, folder)
    if outcome.problem:
        complain(outcome.problem)
        return 1
    return 0


def _run_flow(build: Build, workers: int | None, verbose: bool) -> None:
    """Runs the flow against the configured Prefect server, or against one of our own."""
    os.environ.setdefault("OMP_NUM_THREADS", str(build.profile.torch_threads))
    if not verbose:  # what goes wrong is told by this command, in one line
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    with ExitStack() as stack:
        with err.status("Starting Prefect and loading libraries ..."):
            from prefect.context import refresh_global_settings_context
            from prefect.settings import get_current_settings

            settings = get_current_settings()
            if settings.api.url is None:
                server = stack.enter_context(running_server(settings.home / "spotdiff-server.log"))
                _import_libraries()  # while the server boots
                server.wait()
                os.environ["PREFECT_API_URL"] = server.url
                os.environ.setdefault(
                    "PREFECT_LOGGING_TO_API_ENABLED", "false"
                )  # it is gone before the last line is sent
                refresh_global_settings_context()
            elif not reachable(settings.api.url):
                raise UserError(
                    f"no Prefect server answers at {settings.api.url}: start it, or unset PREFECT_API_URL to do without"
                )
            from flows.build_dataset import BuildFailed, build_dataset, opened
            from flows.cli.display import display

        tally = tally_of(build)
        showing = display(tally, build.config.manifest)
        with stopping_softly(), events.listening(tally), showing, suppress(BuildFailed), opened(build):
            build_dataset(**build.config.model_dump(mode="json"), workers=workers)


def _import_libraries() -> None:
    """What the stages import when they load their models; most of a short build's start."""
    for library, names in LIBRARIES.items():
        module = importlib.import_module(library)
        for name in names:
            getattr(module, name)  # these libraries import their parts when they are asked for


@contextmanager
def stopping_softly() -> Iterator[None]:
    """Ctrl-C lets the batch at hand end, so that threads and server are taken down in order; a second one does not."""

    def stop(_signum: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
        err.print("Stopping after the batch at hand (Ctrl-C again: at once) ...", style="yellow")
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
