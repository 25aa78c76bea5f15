"""Curvature along a series of checkpoints: records, table, page."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from hessium._display import Displayable
from hessium._files import write_atomically
from hessium._typing import AnyArray
from hessium.figures.records import Findings
from hessium.profiles.report_page import Reported, write_page
from hessium.profiles.series_page import series_findings
from hessium.training import Record
from hessium.training.settings import QUANTITIES

CSV = "curvature.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPlan:
    """Settings of `hs.track`.

    Attributes:
        track: fields of the records; None for the default ones.
        spectra: whether spectra are estimated.
        threshold: stability threshold of the sharpness that was told, if any.
        tol: estimated relative error at which an extreme eigenvalue is accepted.
        confidence: of brackets and intervals.
        bound_steps: products with a random vector for the outer ends of brackets.
        probes: random vectors of the traces.
        seed: of the random vectors.
        prior_precision: of the effective dimension, if it is measured.
    """

    track: tuple[str, ...] | None = None
    spectra: bool = False
    threshold: float | None = None
    tol: float = 0.01
    confidence: float = 0.95
    bound_steps: int = 8
    probes: int = 10
    seed: int = 0
    prior_precision: float | None = None

    def key(self) -> dict[str, Any]:
        """What a record depends on."""
        found = dataclasses.asdict(self)
        found.pop("threshold")
        return found


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CheckpointSeries(Reported, Displayable):
    """Curvature along the checkpoints of a training.

    Attributes:
        records: one for each checkpoint, in the order of steps.
        checkpoints: their paths.
        plan: settings.
        model: class of the model, loss, sizes, dtype and device.
        modules: that own parameters, for `layer_traces`.
        optimizer: class of the optimiser, or "".
        reused: records from an earlier run.
        missing: checkpoints that were not measured, because the run was stopped.
        stopped: reason if the measurement was stopped before its end, else "".

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "step-3.pt"
        >>> torch.save({}, path)
        >>> series = hs.track(lambda _: risk, [path], threshold=2.0)
        >>> [row["step"] for row in series.rows()]
        [3]
    """

    records: tuple[Record, ...]
    checkpoints: tuple[str, ...]
    plan: SeriesPlan
    model: Mapping[str, Any]
    modules: tuple[str, ...]
    optimizer: str
    reused: int
    missing: int
    stopped: str

    experiment = "track"
    command = "hessium.track(function, checkpoints)"

    @property
    def seconds(self) -> float:  # type: ignore[override]
        """Wall time of all records."""
        return sum(record.seconds for record in self.records)

    @property
    def num_matvecs(self) -> int:
        """Products of all records, without self-checks."""
        return sum(record.num_matvecs for record in self.records)

    @property
    def track(self) -> tuple[str, ...]:
        """Names of the quantities that records hold."""
        return tuple(
            name for name in QUANTITIES if any(getattr(r, name) is not None for r in self.records)
        )

    def rows(self) -> list[dict[str, float | int | str]]:
        """One row for each checkpoint with its numbers; all have the same columns."""
        return [
            {"checkpoint": path, **record.row(self.track, self.modules)}
            for path, record in zip(self.checkpoints, self.records, strict=True)
        ]

    def to_csv(self, path: str | Path) -> None:
        """Write the rows to a file, which is replaced."""
        text = io.StringIO(newline="")
        rows = self.rows()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(Path(path), text.getvalue().encode("utf-8", "surrogateescape"))

    def report(self, path: Path | str) -> Path:
        """Write the page, and beside it the arrays and `curvature.csv`.

        Args:
            path: a run directory: new, empty, or with an earlier page of the same kind.

        Raises:
            InputError: if the directory holds something else, or cannot be written.
        """
        page = write_page(self, path)
        self.to_csv(page.parent / CSV)
        return page

    @property
    def findings(self) -> Findings:
        """Tables, charts and statements of the page."""
        return series_findings(self)

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """Columns of numbers by name, and nodes and weights of the spectra."""
        found: dict[str, AnyArray] = {}
        rows = self.rows()
        for name in rows[0]:
            if not any(isinstance(row[name], str) and row[name] for row in rows):
                found[name] = np.array([math.nan if row[name] == "" else row[name] for row in rows])
        for record in self.records:
            if record.spectrum is not None:
                found[f"nodes_{record.step}"] = np.array(record.spectrum.nodes)
                found[f"weights_{record.step}"] = np.array(record.spectrum.weights)
        return found

    @property
    def title(self) -> str:
        """Heading of the page."""
        return f"Curvature of {self.model['model']} along {len(self.records)} checkpoints"

    @property
    def shows(self) -> str:
        """One sentence below the heading."""
        m = self.model
        moved = f", trained by {self.optimizer}" if self.optimizer else ""
        return (
            f"Hessian of the loss {m['loss']} of {m['model']}{moved}: {m['parameters']} "
            f"parameters, {m['samples']} samples, steps {self.records[0].step} to "
            f"{self.records[-1].step}."
        )

    @property
    def config(self) -> dict[str, Any]:
        """Settings for the page."""
        plan = dataclasses.asdict(self.plan) | {"track": self.track}
        return {**self.model, **plan, "complete": not self.stopped}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of all random vectors."""
        return (self.plan.seed,)

    def __repr__(self) -> str:
        return (
            f"CheckpointSeries({self.model['model']}: {len(self.records)} checkpoints, "
            f"last {self.records[-1]!r})"
        )
