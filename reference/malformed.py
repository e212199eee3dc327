"""The error for what is not a case, an answer or a document."""

from __future__ import annotations


class MalformedError(ValueError):
    """A case, an answer or a document that is not what the format says; the message is for a person."""
