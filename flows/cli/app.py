"""The ``spotdiff`` app: which commands there are, in the order of its help."""

from __future__ import annotations

import typer

from flows.cli.commands import builds, machines, manifests
from flows.cli.commands.card import card
from flows.cli.commands.diff import diff
from flows.cli.commands.export import export
from flows.cli.commands.merge import merge
from flows.cli.commands.models import models
from flows.cli.commands.reproduce import reproduce
from flows.cli.commands.stats import stats
from flows.cli.commands.world import world

app = typer.Typer(
    name="spotdiff",
    help="Builds datasets of people in the same pose, varied in appearance, before altered backgrounds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(world, name="world")
app.add_typer(models, name="models")
for command in (builds.build, builds.replay, builds.status, manifests.validate):
    app.command()(command)
app.command("filter")(manifests.filter_)
for command in (
    manifests.contact_sheet, manifests.report, builds.clean, builds.deploy,
    machines.plan, machines.bench, machines.doctor,
    stats, diff, merge, card, export, reproduce,
):  # fmt: skip
    app.command()(command)


def run() -> int:
    """Runs the command line; gives the exit code."""
    try:
        app()
    except SystemExit as done:
        if done.__context__ and isinstance(done.__context__.__cause__, KeyboardInterrupt):
            raise done.__context__.__cause__ from None  # typer keeps silent about it
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    return 0
