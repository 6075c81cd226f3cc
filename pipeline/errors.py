"""The one kind of error that is the user's."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake of the user's: shown as one line, without a traceback."""
