"""The figures of a run directory as files for slides and papers."""

from __future__ import annotations

from pathlib import Path

from hessium._files import write_atomically
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
