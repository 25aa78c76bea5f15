"""From a result to the chart that shows it.

Each module holds the views of one room, by the name of the class; a result without a view of its
own is shown by its numbers. Options of a view are keyword arguments of `result.plot`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from hessium.errors import InputError
from hessium.figures.records import Chart

_ROOMS = {
    "spectra": "hessium.figures.views.spectra",
    "theory": "hessium.figures.views.laws",
    "curvature": "hessium.figures.views.linearization",
    "estimate": "hessium.figures.views.estimates",
    "compare": "hessium.figures.views.comparisons",
    "posterior": "hessium.figures.views.posteriors",
    "landscape": "hessium.figures.views.critical_points",
    "training": "hessium.figures.views.monitors",
    "profiles": "hessium.profiles.views",
}


def view_of(result: Any) -> Callable[..., Chart]:
    """The function from a result and options to a chart.

    Raises:
        InputError: if the argument is not a result of hessium.
    """
    for kind in type(result).__mro__:
        parts = kind.__module__.split(".")
        room = _ROOMS.get(parts[1]) if parts[0] == "hessium" and len(parts) > 1 else None
        if room is not None:
            views: dict[str, Callable[..., Chart]] = importlib.import_module(room).VIEWS
            if kind.__name__ in views:
                return views[kind.__name__]
    general: Callable[..., Chart] = importlib.import_module(
        "hessium.figures.views.numbers"
    ).numbers_chart
    return general


def options_of(result: Any) -> tuple[str, ...]:
    """Names of the options of the view of a result."""
    parameters = inspect.signature(view_of(result)).parameters.items()
    return tuple(n for n, one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY)


def chart_of(result: Any, **options: Any) -> tuple[Chart, dict[str, Any]]:
    """The chart of a result, and the options that its view does not know."""
    mine = {name: options.pop(name) for name in options_of(result) if name in options}
    return view_of(result)(result, **mine), options


def require(condition: bool, message: str) -> None:
    """Raise InputError with a message unless a condition holds."""
    if not condition:
        raise InputError(message)
