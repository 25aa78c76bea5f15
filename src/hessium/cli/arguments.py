"""`--set NAME=VALUE`: arguments of the user's function from the command line."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hessium.errors import InputError

_OPTION = "--set"
_LONGEST = 80
_WORD = re.compile(r"[^\W\d][\w./:+-]*|[./~][\w./+-]*")  # a name or a path needs no quotes
_LITERALS = {"true": "True", "false": "False", "none": "None", "null": "None"}
_SEQUENCES = (tuple, list)


def literal(text: str) -> Any:
    """A Python literal, or a word without quotes as a string.

    Raises:
        ValueError: if it is neither; the message says what to write.
    """
    if (right := _LITERALS.get(text)) is not None:
        msg = f"write {right}"
        raise ValueError(msg)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        if _WORD.fullmatch(text):
            return text
        msg = "a Python literal such as 3, 1e-3, True, 'text' or (16, 16) is required"
        raise ValueError(msg) from error


def collected(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The settings by name.

    Raises:
        InputError: if a name is given twice.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            msg = f"{_OPTION}: {name} is given twice; give it once"
            raise InputError(msg)
        found[name] = value
    return found


def written(settings: Mapping[str, Any]) -> str:
    """The settings as in a call."""
    text = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def required(function: Callable[..., Any], positional: int, settings: Mapping[str, Any]) -> str:
    """Arguments without a default that nobody gives, separated by commas; empty if none.

    Args:
        function: the user's.
        positional: how many arguments hessium gives it.
        settings: further ones by name.
    """
    parameters = _parameters(function)
    if parameters is None:
        return ""
    kept = [one for one in parameters if one.kind is not one.VAR_KEYWORD]
    given = any(one.kind is one.VAR_POSITIONAL for one in kept)
    kept = [one for one in kept if one.kind is not one.VAR_POSITIONAL]
    rest = [one for one in kept if one.kind is one.KEYWORD_ONLY]
    placed = [one for one in kept if one.kind is not one.KEYWORD_ONLY]
    if len(placed) < positional and not given:
        return "nothing"
    missing = [*placed[positional:], *rest]
    return ", ".join(p.name for p in missing if p.default is p.empty and p.name not in settings)


def require_fit(
    function: Callable[..., Any], name: str, positional: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Check settings against the signature of a function and its annotations.

    Returns:
        The settings; a list where the annotation says tuple becomes one, and the reverse.

    Raises:
        InputError: if it has no such argument, or the annotation names another type.
    """
    parameters = _parameters(function)
    if parameters is None or not settings:
        return dict(settings)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [
        one.name
        for place, one in enumerate(parameters)
        if one.kind in by_name and (place >= positional or one.kind is one.KEYWORD_ONLY)
    ]
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        for given in settings:
            if given not in known:
                nearest = difflib.get_close_matches(given, known, n=1)
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                advice = f"did you mean {nearest[0]!r}?" if nearest else takes
                msg = f"{_OPTION}: {name}() has no argument {given!r}; {advice}"
                raise InputError(msg)
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # of names that only a type checker imports
        hints = {}
    return {one: _fitted(name, one, value, hints.get(one)) for one, value in settings.items()}


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _fitted(function: str, name: str, value: Any, hint: Any) -> Any:
    """The value as its annotation wants it; only plain types are judged."""
    kind = typing.get_origin(hint) or hint
    if kind in _SEQUENCES and isinstance(value, _SEQUENCES):
        return kind(value)
    wanted: Any = (int, float) if kind is float else kind
    plain = kind in (int, float, str, bool, dict, *_SEQUENCES)
    if plain and (not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool)):
        label = getattr(hint, "__name__", None) if kind is hint else str(hint)
        example = " such as (16, 16)" if kind in _SEQUENCES else ""
        msg = f"{_OPTION}: {name}={value!r}; {function}() takes {label or kind} there{example}"
        raise InputError(msg)
    return value
