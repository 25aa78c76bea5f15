"""How results show themselves: a plot, a data frame, and HTML in a notebook.

The one place where a result reaches up to `figures`, `plots` and `posterior`, at the moment it is
asked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from hessium._extras import missing
from hessium.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from hessium.posterior import ParameterShares


class Plottable:
    """A result or a law that draws itself."""

    __slots__ = ()

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw on matplotlib axes; no style and no other global setting changes.

        Args:
            ax: axes to draw on; new ones in a new figure if None.
            options: those of the figure (`hessium.figures.views`), such as `law=` or `label=` of a
                spectrum; all others are passed to matplotlib with the first series.

        Returns:
            The axes.

        Raises:
            InputError: if there is nothing to draw, or matplotlib is not installed.

        Example:
            >>> ax = hs.spectrum(H).plot(law=hs.theory.Semicircle(variance=1.0))
            >>> type(ax).__name__
            'Axes'
        """
        axes: Axes = _plots("plot", "axes").plot(self, ax, **options)
        return axes

    def _repr_html_(self) -> str:
        """The numbers and the figure, for notebooks."""
        try:
            html: str = _plots("plot", "notebook").html_of(self)
        except InputError:  # without matplotlib
            html = f"<p><code>{escape(repr(self))}</code></p>"
        return html


def shown_live(result: Plottable, **options: Any) -> Callable[[], None]:
    """Show a result in a notebook, and return what draws it again in the same place."""
    refresh: Callable[[], None] = _plots("live", "notebook").live(result, **options)
    return refresh


def _plots(what: str, module: str) -> Any:
    """A module of `hessium.plots`.

    Raises:
        InputError: if matplotlib is not installed.
    """
    try:
        return importlib.import_module(f"hessium.plots.{module}")
    except ImportError as error:
        raise (missing(what, error) or error) from error


class Displayable(Plottable):
    """A result that draws itself and gives its numbers as a table."""

    __slots__ = ()

    def to_dataframe(self) -> pd.DataFrame:
        """The numbers as a pandas data frame: arrays as columns, or one row of scalars.

        Raises:
            InputError: if pandas is not installed.

        Example:
            >>> list(hs.eigenpairs(H, 2).to_dataframe().columns)[:2]
            ['values', 'residuals']
        """
        frame: pd.DataFrame = importlib.import_module("hessium.figures.frames").frame_of(self)
        return frame


class Directional(Displayable):
    """A result that holds directions in the space of the parameters."""

    __slots__ = ()

    def by_parameter(self) -> ParameterShares:
        """Share of every parameter (tensor or named scalar) in each direction.

        Returns:
            Squared lengths that sum to one in each direction; `by_layer()` adds up modules.

        Raises:
            InputError: if the operator was no operator of a risk, so that its coordinates have no
                names; then `hs.by_parameter(result, risk)` takes the names from a risk.

        Example:
            >>> hs.eigenpairs(hs.Hessian(risk), 5).by_parameter().to_dataframe()
        """
        module = importlib.import_module("hessium.posterior.shares")
        found: ParameterShares = module.by_parameter(self)
        return found
