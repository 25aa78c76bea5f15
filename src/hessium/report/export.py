"""The figures of a run directory as files for slides and papers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hessium._files import write_atomically
from hessium.figures.records import Chart
from hessium.plots import draw, to_pdf, to_png
from hessium.plots.standalone import Kind
from hessium.runs.run_directory import RunDirectory


def export_figures(run: RunDirectory, kind: Kind) -> list[Path]:
    """Write every figure as `figures/NAME.pdf` or `.png`, with fonts embedded.

    Args:
        run: with its sections.
        kind: of the files.

    Returns:
        Their paths.
    """
    paths = []
    for section in run.sections():
        for chart in section.findings.charts:
            path = run.path / "figures" / f"{section.experiment}-{chart.name}.{kind}"
            figure = draw(chart)
            write_atomically(path, to_pdf(figure) if kind == "pdf" else to_png(figure))
            paths.append(path)
    return paths


def to_csv(chart: Chart) -> str:
    """The numbers of a figure, one point a row: panel, series, source, x, y, low, high, error.

    Values in colours follow as rows of x, y and value. Numbers have all their digits.
    """
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(("panel", "series", "source", "x", "y", "low", "high", "error"))
    for part in (chart, *chart.panels):
        for one in part.series:
            low, high = (
                [""] * one.x.size if e is None else e.tolist() for e in (one.low, one.high)
            )
            for row in zip(one.x.tolist(), one.y.tolist(), low, high, strict=True):
                words = map(_words, (part.title, one.label, one.source, one.error))
                title, label, source, error = words
                write((title, label, source, *row, error))
    if chart.field is not None:
        field = chart.field
        write(("colours", "x", "y", "value"))
        for y, row in zip(field.y.tolist(), field.z.tolist(), strict=True):
            for x, value in zip(field.x.tolist(), row, strict=True):
                write((_words(field.label), x, y, value))
    return text.getvalue()


def _words(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
