"""Whether prompts fit: CLIP's text encoders read 77 tokens, and diffusers cuts off what is beyond with a log line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.config import UserError
from pipeline.models.families import family_of
from pipeline.models.resident import shared_instance
from pipeline.models.resolve import Model


def check_lengths(model: Model, prompts: Iterable[tuple[str, str]]) -> None:
    """Counts prompts with the model's own tokenizers.

    Args:
        model: A diffusion model's repo.
        prompts: What a prompt is, for the message, and the prompt.

    Raises:
        UserError: One is too long for one of the tokenizers.
    """
    folders = [model.pipeline_dir() / name for name in family_of(model).TOKENIZERS]
    counters = [shared_instance(("counter", folder), lambda folder=folder: _counter(folder)) for folder in folders]  # type: ignore[misc]
    for what, prompt in prompts:
        for count, most in counters:
            if (tokens := count(prompt)) > most:
                raise UserError(
                    f"{what}: with its template it has {tokens} tokens, and {model.ref.repo} reads {most}: "
                    f"shorten it ({prompt[:80]!r} ...)"
                )


def token_count(model: Model, prompt: str) -> int:
    """How many tokens a prompt has, start and end included, by the tokenizer that makes most of it."""
    folders = [model.pipeline_dir() / name for name in family_of(model).TOKENIZERS]
    return max(_counter(folder)[0](prompt) for folder in folders)


def _counter(folder: Path) -> tuple[Callable[[str], int], int]:
    """What counts a prompt's tokens, and how many there may be."""
    try:
        most = int(json.loads((folder / "tokenizer_config.json").read_text("utf-8"))["model_max_length"])
        if (folder / "tokenizer.json").is_file():
            from tokenizers import Tokenizer  # transformers takes seconds to import

            fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
            fast.no_truncation()
            fast.no_padding()
            return lambda prompt: len(fast.encode(prompt).ids), most
        from transformers import CLIPTokenizer

        slow = CLIPTokenizer.from_pretrained(folder)
        return lambda prompt: len(slow(prompt).input_ids), most
    except Exception as error:  # tokenizers raises bare Exceptions
        raise UserError(f"tokenizer {folder}: {error}; get it again with `spotdiff models fetch`") from error
