"""``spotdiff build --part I/N``: one share of a build, for batch systems; needs a shared folder and nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence

from flows.cli import INTERRUPTED
from flows.cli.build import stopping_softly, warn
from flows.cli.console import out, set_up_logging
from flows.cli.display import display
from flows.engines.threads import ThreadEngine
from flows.engines.workers import default_workers
from flows.progress import tally_of
from pipeline.config import BuildConfig
from pipeline.runner import events
from pipeline.runner.build import Build, open_build
from pipeline.runner.fragments import Fragments
from pipeline.runner.plan import Part
from pipeline.runner.preflight import check
from pipeline.stages.base import Stage


def run_part(
    config: BuildConfig, share: str, workers: int | None, verbose: bool, stages: Sequence[Stage] | None = None
) -> int:
    """Does one part's share; gives the exit code. The manifest is written by the same command without ``--part``.

    Several parts may be at work side by side, on this machine and on others, also the same one twice: each writes whole
    fragments, and whoever comes second finds them there.
    """
    set_up_logging(verbose)
    part = Part.parse(share)
    build = open_build(config, stages)
    found = build.scan()
    if not _complete(build, part, found):
        check(build, found)
        os.environ.setdefault("OMP_NUM_THREADS", str(build.profile.torch_threads))
        tally = tally_of(build, part.of(build.shards))
        engine = ThreadEngine(workers or default_workers(build.profile.torch_threads))
        try:
            with stopping_softly(), events.listening(tally), display(tally, f"part {part} of {config.manifest}"):
                build.run_part(part, engine)
        except KeyboardInterrupt:
            warn("Stopped. What was finished is kept: the same command goes on from here.")
            return INTERRUPTED
    done = len(part.of(build.shards))
    out.print(f"part {part}: {done} of {len(build.shards)} shards, all done", style="bold green", markup=False)
    out.print(f"  {config.manifest} is written by the same command without --part", markup=False)
    return 0


def _complete(build: Build, part: Part, found: Fragments) -> bool:
    """Whether nothing of a part's share is missing."""
    return found.duplicates is not None and all(len(chain) == len(build.stages) for chain in part.of(found.chains))
