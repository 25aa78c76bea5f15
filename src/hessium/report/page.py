"""Stored sections to one HTML file that needs nothing else, and to SVG files beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hessium._files import write_atomically
from hessium.experiments.records import Section
from hessium.experiments.rundir import RunDirectory
from hessium.experiments.wording import digits
from hessium.plots import PALETTE, draw, to_svg
from hessium.report import words

_MOST_POINTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    section: Section
    figures: tuple[Markup, ...]


def write_report(run: RunDirectory) -> Path:
    """Draw every chart of a run directory, write `figures/*.svg` and `report.html`.

    Returns:
        The path of the page.
    """
    drawn = tuple(_draw(section, run.path / "figures") for section in run.sections())
    page = run.path / "report.html"
    write_atomically(page, render(drawn).encode())
    return page


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
        "number": words.number,
        "digits": digits,
        "bases": words.bases,
        "errors": words.errors,
        "setting": words.setting,
        "duration": words.duration,
    }
    return environment.get_template("page.html").render(
        drawn=drawn,
        palette=PALETTE,
        points=words.points,
        most=_MOST_POINTS,
        verdicts={
            "holds": "holds",
            "does not hold": "fails",
            "not rejected": "open",
            "not tested": "open",
        },
    )


def _draw(section: Section, folder: Path) -> _Drawn:
    figures = []
    for chart in section.findings.charts:
        name = f"{section.experiment}-{chart.name}"
        svg = to_svg(draw(chart), chart, name)
        write_atomically(folder / f"{name}.svg", svg.encode())
        # the text inside was escaped when the SVG was written
        figures.append(Markup(svg))
    return _Drawn(section=section, figures=tuple(figures))
