"""Axes below other axes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

_SHARE = 0.45  # height of a panel in heights of the axes above
_GAP = 0.06  # between two, where no layout makes room


def panels_below(axes: Axes, names: Sequence[str]) -> list[Axes]:
    """Axes with the same x axis below some axes, whose room all share.

    Panels of these names that an earlier call made are taken again.

    Args:
        axes: keep the upper part of their room.
        names: of the panels, the first one on top.
    """
    known = {str(one.get_label()): one for one in axes.get_shared_x_axes().get_siblings(axes)}
    if all(name in known for name in names):
        return [known[name] for name in names]
    figure = axes.get_figure()
    assert isinstance(figure, Figure | SubFigure)
    place = axes.get_subplotspec()
    if place is not None:
        heights = [1.0, *(_SHARE for _ in names)]
        grid = place.subgridspec(len(heights), 1, height_ratios=heights)
        axes.set_subplotspec(grid[0])
        return [
            figure.add_subplot(grid[1 + row], sharex=axes, label=name)
            for row, name in enumerate(names)
        ]
    box = axes.get_position()
    unit = box.height / (1 + (_SHARE + _GAP) * len(names))
    axes.set_position((box.x0, box.y1 - unit, box.width, unit))
    made = []
    for row, name in enumerate(names):
        bottom = box.y1 - unit * (1 + (_SHARE + _GAP) * (row + 1))
        room = (box.x0, bottom, box.width, _SHARE * unit)
        made.append(figure.add_axes(room, sharex=axes, label=name))
    return made
