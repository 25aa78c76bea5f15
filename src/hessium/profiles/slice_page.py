"""The page of `hessium slice`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from hessium._typing import AnyArray
from hessium.figures.records import EXACT, Findings, Number, Table, exact
from hessium.figures.views.marks import Mark, marks
from hessium.figures.views.slices import slice_caption, slice_chart
from hessium.landscape import CriticalPoint, LossSlice
from hessium.profiles.report_page import Reported


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlicePage(Reported):
    """A slice with what its page says.

    Attributes:
        found: the slice.
        risk: what was sliced.
        seed: of random directions.
        points: critical points to be marked.
        pending: methods of searches that have not ended.
        seconds: processor time of all processes.
    """

    experiment: ClassVar[str] = "slice"
    command: ClassVar[str] = "hs.loss_slice(risk)"
    found: LossSlice
    risk: str
    seed: int
    points: tuple[CriticalPoint, ...] = ()
    pending: tuple[str, ...] = ()
    seconds: float

    @property
    def title(self) -> str:
        """Heading."""
        return "The loss around the parameters"

    @property
    def shows(self) -> str:
        """One sentence below it."""
        return f"{self.risk}, along {' and '.join(self.found.labels)}."

    @property
    def config(self) -> dict[str, Any]:
        """Settings."""
        (axis, *_) = self.found.coordinates
        return {
            "directions": list(self.found.labels),
            "extent": float(axis[-1]),
            "num": [len(one) for one in self.found.coordinates],
            "within": self.found.within,
            "seed": self.seed,
            "critical": [point.method for point in self.points],
            "ridge": max((point.ridge for point in self.points), default=0.0),
        }

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds used."""
        return (self.seed,)

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """Coordinates, values and quadratic model."""
        found = self.found
        arrays: dict[str, AnyArray] = {
            f"coordinate_{i + 1}": axis for i, axis in enumerate(found.coordinates)
        }
        arrays |= {"values": found.values, "quadratic": found.quadratic}
        arrays["directions"] = found.directions.cpu().numpy()
        if found.sampling_stderr is not None:
            arrays["sampling_stderr"] = found.sampling_stderr
        return arrays

    def summary(self) -> dict[str, Any]:
        """The numbers by name; null where there is no bound."""
        found = self.found
        return {
            "labels": list(found.labels),
            "within": found.within,
            "validity_radius": _known(found.validity_radius),
            "reach": float(found.distances.max()),
            "trace_share": _known(found.trace_share),
            "trace_share_stderr": _known(found.trace_share_stderr),
            "trace_share_lower": _known(found.trace_share_lower),
            "trace_share_upper": _known(found.trace_share_upper),
            "critical_points": [
                {
                    "method": mark.point.method,
                    "kind": mark.point.kind,
                    "index": mark.point.index.value,
                    "index_lower": mark.point.index.lower,
                    "index_upper": mark.point.index.upper,
                    "ridge": mark.point.ridge,
                    "loss": mark.loss,
                    "coordinates": mark.at.tolist(),
                    "distance": mark.distance,
                    "lies_in_the_slice": mark.filled,
                }
                for mark in marks(found, self.points)
                if mark.point is not None
            ],
        }

    @property
    def findings(self) -> Findings:
        """The picture and its numbers."""
        found = self.found
        share, error = found.trace_share, found.trace_share_stderr
        ends = (found.trace_share_lower, found.trace_share_upper)
        radius = found.validity_radius
        rows: list[tuple[str | Number, ...]] = [
            ("loss at the point nearest to the centre", exact(_centre(found), 6)),
            (
                "distance from the centre up to which the quadratic model errs by at most "
                f"{100 * found.within:.3g} % of its largest change at that distance",
                Number(
                    value=radius,
                    basis="the radius is estimated, by values on rays and on the grid",
                )
                if math.isfinite(radius)
                else "no error found",
            ),
            ("largest distance of the slice", exact(float(found.distances.max()), 4)),
        ]
        if math.isfinite(share) and math.isfinite(error):
            bounded = error > 0 and all(map(math.isfinite, ends))
            basis = "the bracket of the share is a 95 % interval over the vectors of the trace"
            if error > 0 and not bounded:
                basis = f"the share has a standard error of {error:.2g}, its trace may be zero"
            number = Number(
                value=share,
                low=ends[0] if bounded else None,
                high=ends[1] if bounded else None,
                basis=basis if error > 0 else EXACT,
            )
            rows.append(("share of the trace of the Hessian in the slice", number))
        table = Table(title="The slice in numbers", columns=("quantity", "value"), rows=tuple(rows))
        return Findings(
            statements=(),
            charts=(slice_chart(found, points=self.points),),
            tables=self._critical_points(),
            quoted=(table,),
            notes=(slice_caption(found), *self._unfinished()),
        )

    def _unfinished(self) -> tuple[str, ...]:
        if not self.pending:
            return ()
        methods = " and by ".join(self.pending)
        return (
            f"The search for a critical point by {methods} had not ended when this page was "
            "written, so the point is not marked.",
        )

    def _critical_points(self) -> tuple[Table, ...]:
        listed = marks(self.found, self.points)
        if not listed:
            return ()
        columns = ("found by", "of", "kind", "index", "loss L", "distance from the slice", "drawn")
        return (Table(title="Critical points", columns=columns, rows=tuple(map(_row, listed))),)


def _row(mark: Mark) -> tuple[str | Number, ...]:
    point = mark.point
    assert point is not None
    index = point.index
    drawn = "filled, it lies in the slice" if mark.filled else "hollow, at its projection"
    return (
        point.method,
        f"L + {point.ridge / 2:.3g} |θ|²" if point.ridge else "L",
        point.kind,
        exact(index.value)
        if index.lower == index.upper
        else Number(
            value=index.value,
            low=index.lower,
            high=index.upper,
            basis="counts in brackets: the sign of eigenvalues within rounding is open",
            digits=12,
        ),
        exact(mark.loss, 6),
        exact(mark.distance, 3),
        drawn if mark.inside else "no, it projects outside",
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _centre(found: LossSlice) -> float:
    """Value at the point that is nearest to the centre: the centre itself for odd numbers."""
    nearest = int(found.distances.reshape(-1).argmin())
    return float(found.values.reshape(-1)[nearest])
