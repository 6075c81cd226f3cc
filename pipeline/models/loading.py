"""What a model that cannot be loaded comes to: one line that ends the build, never a failed row for each picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.config import UserError
from pipeline.models.memory import is_out_of_memory
from pipeline.models.resolve import Model


@contextmanager
def loading(*models: Model) -> Iterator[None]:
    """Whatever a library raises inside becomes a :class:`UserError` that names the models and what to do."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # safetensors, pickle, torch, transformers and diffusers each have their own
        repos = " with ".join(model.ref.repo for model in models)
        remedy = (
            'it does not fit: set runtime.resident = "one" or a smaller dtype in the profile, or take a larger device'
            if is_out_of_memory(error)
            else "its files are damaged, incomplete or of another kind: get them again"
        )
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"model {repos}: cannot be loaded ({type(error).__name__}: {said}); {remedy}") from error
