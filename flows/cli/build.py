"""``spotdiff build``: answers from the ledger, or runs the flow with a live display."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType

from flows.cli import INTERRUPTED
from flows.cli.console import complain, err, set_up_logging
from flows.cli.scheduled import run_scheduled
from flows.cli.sheets import draw, sheets_folder
from flows.cli.summary import show_summary
from flows.engines.threads import ThreadEngine
from flows.engines.workers import default_workers, gpus_here
from flows.handover import Handover
from flows.options import EngineName
from flows.progress import tally_of
from flows.server import ServerError, reachable, running_server
from pipeline.config import BuildConfig, UserError
from pipeline.failures import told
from pipeline.manifest.finish import build_manifest, finish
from pipeline.manifest.outcome import Outcome
from pipeline.runner import events
from pipeline.runner.build import Build, open_build
from pipeline.runner.fragments import Fragments
from pipeline.runner.lock import refuse_second
from pipeline.runner.preflight import check
from pipeline.stages.base import Stage

LIBRARIES: Mapping[str, Sequence[str]] = {
    "diffusers": ("ControlNetModel", "StableDiffusionControlNetPipeline", "StableDiffusionInpaintPipeline"),
    "transformers": ("CLIPModel", "CLIPTokenizer", "CLIPImageProcessor"),
    "segment_anything": (),
    "controlnet_aux": (),
}
"""What the stages import when they load their models; most of a short build's start."""
AUTOMATIC_SHEETS = 24
"""Sources whose contact sheets a build draws by itself; ``spotdiff contact-sheet`` draws all."""


def run_build(
    config: BuildConfig,
    workers: int | None,
    verbose: bool,
    stages: Sequence[Stage] | None = None,
    *,
    engine: EngineName = "local",
    ray_address: str = "auto",
) -> int:
    """Runs a build; gives the exit code.

    Args:
        config: The build.
        workers, engine, ray_address: See :func:`flows.build_dataset.build_dataset`.
        verbose: Show Prefect's log and our own.
        stages: See :func:`pipeline.runner.build.open_build`.
    """
    set_up_logging(verbose)
    build = open_build(config, stages)
    found = build.scan()
    fresh = not build.complete(found)
    if fresh:
        refuse_second(config.manifest)
        check(build, found, here=engine == "local")
        try:
            _run_flow(build, workers, verbose, engine, ray_address)
        except KeyboardInterrupt:
            warn("Stopped. What was finished is kept: the same command goes on from here.")
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


def _run_flow(build: Build, workers: int | None, verbose: bool, engine: EngineName, ray_address: str) -> None:
    """Runs the flow against the configured Prefect server, or one of our own; goes on without where it is gone."""
    os.environ.setdefault("OMP_NUM_THREADS", str(build.profile.torch_threads))
    if not verbose:  # what goes wrong is told by this command, in one line
        for name in ("PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL"):
            os.environ.setdefault(name, "CRITICAL")
    work, tally = Handover(build), tally_of(build)
    with ExitStack() as stack:
        with err.status("Starting Prefect and loading libraries ..."):
            alive = _server(stack, LIBRARIES if engine == "local" else {})
            from flows.cli.display import display

            if engine == "local" and workers is None and (gpus := gpus_here()) > 1:
                warn(f"{gpus} GPUs are here, and --engine local uses one; --engine ray uses all")

        stack.enter_context(stopping_softly())
        stack.enter_context(events.listening(tally))
        stack.enter_context(display(tally, build.config.manifest))
        if alive:
            run_scheduled(work, workers, alive, engine=engine, ray_address=ray_address)
        if work.take():
            if engine == "ray":
                raise UserError("--engine ray: Prefect hands Ray its tasks, and its server is gone; try again")
            if alive:
                warn("Prefect's server is gone: the build goes on without it")
            build_manifest(build, ThreadEngine(workers or default_workers(build.profile.torch_threads)))
        elif alive and not alive():
            warn("Prefect's server is gone; the build was finished without it")


def _server(stack: ExitStack, libraries: Mapping[str, Sequence[str]]) -> Callable[[], bool] | None:
    """Sees to a Prefect server; gives what tells whether it is still there, None where our own does not start.

    Args:
        stack: Ends it.
        libraries: What to import while it boots; see :data:`LIBRARIES`.

    Raises:
        UserError: The configured one does not answer.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if url := settings.api.url:
        if not reachable(url):
            raise UserError(f"no Prefect server answers at {url}: start it, or unset PREFECT_API_URL to do without")
        return partial(reachable, url)
    try:
        server = stack.enter_context(running_server(settings.home / "spotdiff-server.log"))
        _import(libraries)  # while the server boots
        server.wait()
    except (ServerError, OSError) as error:
        warn(f"{told(error) or error}: the build does without Prefect")
        return None
    os.environ["PREFECT_API_URL"] = server.url
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")  # it is gone before the last line is sent
    refresh_global_settings_context()
    return lambda: server.alive


def _import(libraries: Mapping[str, Sequence[str]]) -> None:
    for library, names in libraries.items():
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


def warn(message: str) -> None:
    """One yellow line on stderr."""
    err.print(message, style="yellow", markup=False)
