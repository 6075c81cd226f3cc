"""Options of a build, declared once: the fields of :class:`~pipeline.config.BuildConfig` become parameters.

The command line (typer) and the flow (Prefect) both read a function's signature; theirs are made here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
import typer
from pydantic.fields import FieldInfo

from pipeline.config import BuildConfig

EngineName = Literal["local", "ray"]
"""What spreads a build's tasks: threads of one process, or a Ray cluster."""
FIELDS = BuildConfig.model_fields
MANIFEST = FIELDS["manifest"].default
ManifestArgument = Annotated[str, typer.Argument(help="The manifest, a Parquet file.")]
Work = Annotated[str, typer.Option(help=FIELDS["work"].description)]


def takes_build_options(**instead: tuple[Any, Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates ``f(options, **own)``: the result takes each build option by name, and f gets them as one dict.

    Args:
        instead: By field, another annotation and default than the field's own.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        options = [_parameter(name, *instead.get(name, _typed(field))) for name, field in FIELDS.items()]
        parameters = [*options, *own]

        def call(**values: Any) -> Any:
            told = {name: values.pop(name) for name in FIELDS if name in values}
            return function(told, **values)

        call.__name__, call.__qualname__ = function.__name__, function.__qualname__
        call.__doc__, call.__module__ = function.__doc__, function.__module__
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def _typed(field: FieldInfo) -> tuple[Any, Any]:
    """A field's type with what typer says of it, and its default."""
    kind, bounds = field.annotation, list(field.metadata)
    if type(None) in get_args(kind):
        (inner,) = (part for part in get_args(kind) if part is not type(None))
        if get_origin(inner) is Annotated:
            inner, *metadata = get_args(inner)
            bounds += [bound for info in metadata for bound in _bounds_in(info)]
        kind = inner | None
    limits: dict[str, Any] = {}
    for bound in bounds:
        if isinstance(bound, annotated_types.Ge):
            limits["min"] = bound.ge
        elif isinstance(bound, annotated_types.Le):
            limits["max"] = bound.le
    return Annotated[kind, typer.Option(help=field.description, **limits)], field.get_default()


def _bounds_in(info: Any) -> Iterator[Any]:
    yield from info.metadata if isinstance(info, FieldInfo) else [info]
