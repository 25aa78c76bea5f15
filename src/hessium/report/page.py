"""From stored sections to one self-contained HTML file, and to SVG files beside it."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hessium._files import write_atomically
from hessium.errors import InputError
from hessium.figures.formatting import digits
from hessium.figures.records import Chart, Section
from hessium.plots import PALETTE, draw, empty_svg, to_svg
from hessium.report import statements
from hessium.report.export import to_csv
from hessium.report.mathematics import mathematics
from hessium.report.overview import KINDS, VERDICTS, Overview, Placed, anchors, counts
from hessium.runs.codec import encode
from hessium.runs.run_directory import RunDirectory

_MOST_POINTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    section: Section
    figures: tuple[Markup, ...]

    @property
    def anchors(self) -> dict[str, str]:
        """Ids of figures and tables."""
        return anchors(self.section.findings, self.section.experiment)


def write_report(run: RunDirectory) -> Path:
    """Draw every chart of a run directory, write `figures/*.svg` and `.csv`, and `report.html`.

    Returns:
        The path of the page.

    Raises:
        InputError: if the folder of the figures is a link to another one.
    """
    return Report(run).write()


class Report:
    """The page of a run directory, written again as sections are added.

    A chart is drawn once, as long as it stays the same, so that the work for a page after each of
    k experiments grows with k and not with its square.

    Args:
        run: where the sections are, and the page will be.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._figures: dict[str, tuple[str, Markup]] = {}

    def write(self) -> Path:
        """Draw what is new, write `figures/*.svg`, `figures/*.csv` and `report.html`.

        Returns:
            The path of the page.

        Raises:
            InputError: if the folder of the figures is a link to another one.
        """
        folder = self._run.path / "figures"
        if folder.is_symlink():
            msg = f"RUN_DIR: {folder} is a link; a folder of its own is required, so remove it"
            raise InputError(msg)
        drawn = tuple(
            _Drawn(
                section=section,
                figures=tuple(
                    self._figure(f"{section.experiment}-{chart.name}", chart, folder)
                    for chart in section.findings.charts
                ),
            )
            for section in self._run.sections()
        )
        page = self._run.path / "report.html"
        write_atomically(page, render(drawn).encode())
        return page

    def _figure(self, name: str, chart: Chart, folder: Path) -> Markup:
        content = json.dumps(encode(chart), sort_keys=True)
        known, figure = self._figures.get(name, ("", Markup()))
        if known != content:
            # text was escaped when the SVG was written
            figure = Markup(_svg(chart, name))
            self._figures[name] = (content, figure)
            write_atomically(folder / f"{name}.svg", figure.encode())
            write_atomically(folder / f"{name}.csv", to_csv(chart).encode())
        return figure


def _svg(chart: Chart, name: str) -> str:
    try:
        return to_svg(draw(chart), chart, name)
    except (ArithmeticError, ValueError, RuntimeError, MemoryError) as error:
        # an axis can overflow near the ends of the range of floats; the page keeps its numbers
        warnings.warn(f"figure {name} cannot be drawn ({error})", UserWarning, stacklevel=2)
        return empty_svg(chart, name)


def render(drawn: tuple[_Drawn, ...]) -> str:
    """The page of sections with their figures."""
    environment = Environment(
        loader=PackageLoader("hessium.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": statements.number,
        "digits": digits,
        "bases": statements.bases,
        "characters": statements.characters,
        "columns": statements.columns,
        "errors": statements.errors,
        "setting": statements.setting,
        "duration": statements.duration,
        "math": mathematics,
    }
    return environment.get_template("page.html").render(
        drawn=drawn,
        palette=PALETTE,
        points=statements.points,
        most=_MOST_POINTS,
        overview=Overview([item.section for item in drawn]),
        counts=counts,
        kinds=KINDS,
        short={"source": "source", "ours": "ours", "control": "control"},
        names=VERDICTS,
        tags={"source": "source", "ours": "ours", "control": "control"},
        backward=_backward,
        verdicts={
            "holds": "holds",
            "does not hold": "fails",
            "not rejected": "open",
            "not tested": "open",
        },
    )


def _backward(statements: list[Placed], target: str) -> list[tuple[int, Placed]]:
    """The statements, with their numbers, whose numbers a figure or table shows."""
    return [(i, one) for i, one in enumerate(statements, 1) if one.target == target]
