"""Command lines in the vocabulary of diffusers' scripts (``--max_train_steps``), made from settings classes."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.config import UserError
from pipeline.failures import told

_QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}


def with_options(settings: type[BaseModel], function: Callable[..., None]) -> Callable[..., None]:
    """A command that takes an option for each field of ``settings``, and hands over those that were given.

    A field's alias, its name in earlier versions, is a hidden option.

    Args:
        settings: Names, types, defaults and descriptions.
        function: Called with the given values by name; its docstring is the command's help.
    """

    def command(**values: Any) -> None:
        function(**{name: value for name, value in values.items() if value is not None})

    parameters = [_parameter(name, field) for name, field in settings.model_fields.items()]
    old = [(field.validation_alias, field) for field in settings.model_fields.values() if field.validation_alias]
    parameters += [_parameter(str(name), field, hidden=True) for name, field in old]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = function.__doc__
    return command


def run(command: Callable[..., None]) -> None:
    """Runs a command; what a user can cause or mend is one line and exit code 1."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else told(error)
        if message is None:
            raise
        typer.echo(f"error: {message}", err=True)
        sys.exit(1)


def _parameter(name: str, field: FieldInfo, hidden: bool = False) -> inspect.Parameter:
    required = field.default is PydanticUndefined
    kind: Any = field.annotation
    if type(None) in get_args(kind):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if getattr(kind, "__origin__", None) is tuple:
        kind = list[get_args(kind)[0]]  # type: ignore[misc]
    flag = f"--{name}/--no_{name}" if kind is bool else f"--{name}"
    shown = None if required or field.default is None else str(field.default)
    option = typer.Option(flag, help=field.description, show_default=shown or False, hidden=hidden)
    wanted: Any = kind if required else kind | None
    annotation = Annotated[wanted, option]
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
