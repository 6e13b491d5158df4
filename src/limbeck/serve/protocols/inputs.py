"""The inputs of a request in JSON: texts, pairs of texts, questions with contexts."""

from __future__ import annotations

from typing import Any, Final

from limbeck.serve.protocols import fields
from limbeck.serve.refused import RefusedError

_ROWS: Final = ({"text"}, {"text", "text_pair"}, {"question", "context"})
_KNOWN: Final = ("text", "text_pair", "question", "context")


def rows(value: object, where: str = "inputs") -> tuple[list[Any], bool]:
    """The inputs one by one, and whether there was one alone, without a list around it.

    Whether the model's task takes what they are is its pipeline's to say.

    Raises:
        RefusedError: bad_request, naming the place of the first that is none.
    """
    if isinstance(value, list):
        return [_row(one, f"{where}[{at}]") for at, one in enumerate(value)], False
    return [_row(value, where)], True


def _row(value: object, where: str) -> Any:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise RefusedError(
            "bad_request", f"{where} must be a string or an object, found {fields.kind(value)}"
        )
    fields.an_object(value, where, known=_KNOWN)
    if set(value) not in _ROWS:
        raise RefusedError(
            "bad_request",
            f"{where} must have the fields 'text' and, for a pair, 'text_pair', or 'question' and "
            f"'context'; found {', '.join(map(repr, sorted(value))) or 'none'}",
        )
    for name, part in value.items():
        fields.a_string(part, f"{where}.{name}")
    return value
