"""Charts, tables and statements of what `matrix_free` found, as far as it came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import digits
from hessium.figures.records import Chart, Number, Statement, Table, exact
from hessium.profiles.estimated import Estimated, hutchinson, told
from hessium.profiles.large_charts import density_chart, ends_chart, tol_chart
from hessium.profiles.matrix_free import ACCURACY
from hessium.profiles.plan import Plan
from hessium.profiles.portrait import Portrait
from hessium.profiles.quoted import (
    agreement,
    definite,
    matrix_table,
    not_measured,
    undetermined,
)
from hessium.runs.experiment import Result

_LIKELY = 0.95
_STAGES = {
    "hessian/pairs": "eigenpairs of H",
    "hessian/probes": "density of H",
    "gauss_newton/exact": "H₀ through its Gram matrix",
    "gauss_newton/pairs": "eigenpairs of H₀",
    "gauss_newton/probes": "density of H₀",
    "layers": "layers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LargePortrait:
    """One large risk.

    Attributes:
        found: parts of `matrix_free.estimate`.
        plan: with which they were made.
        dim: parameters.
        num_outputs: samples times outputs.
        has_outputs: False for a closure.
        unit_roundoff: of the arithmetic of the products.
        gradient_seconds: what one gradient takes.
    """

    found: Mapping[str, Result]
    plan: Plan
    dim: int
    num_outputs: int
    has_outputs: bool
    unit_roundoff: float
    gradient_seconds: float

    def charts(self) -> tuple[Chart, ...]:
        """Density, ends of the spectrum, counts against the threshold; those there are."""
        matrices = self._matrices()
        found = (density_chart(matrices), ends_chart(matrices), tol_chart(matrices, self.plan))
        charts = [chart for chart in found if chart is not None]
        exact_part = self._exact_part()
        if exact_part is not None:
            charts += exact_part.charts()[:1]
        return tuple(charts)

    def tables(self) -> tuple[Table, ...]:
        """Eigenvalues one by one, sums, and what all that took."""
        found = [*self._pair_tables(), self._sum_table(), self._cost_table()]
        return tuple(table for table in found if table is not None)

    def statements(self) -> tuple[Statement, ...]:
        """The claims that are put to an exact spectrum, as far as brackets decide them."""
        found = []
        hessian = self._matrix("hessian", "H")
        if hessian is not None:
            found.append(self._definite(hessian))
        if self.has_outputs and hessian is not None:
            found.append(self._agreement(hessian))
        exact_part = self._exact_part()
        outer = self._matrix("gauss_newton", "H₀")
        if exact_part is not None:
            found += exact_part.statements()[-1:]
        elif outer is not None:
            found.append(self._undetermined(outer))
        return tuple(found)

    def notes(self) -> tuple[str, ...]:
        """How it was computed."""
        routes = {
            _STAGES[stage].partition(" of ")[2]: self.found[part]["route"]
            for stage in ("hessian/pairs", "gauss_newton/pairs")
            for part in self.found
            if part == stage
        }
        notes = [f"Products of {sign}: {route}." for sign, route in routes.items()]
        open_pairs = [
            (m.sign, int((~m.converged).sum()), m.converged.size)
            for m in self._matrices()
            if not m.converged.all()
        ]
        notes += [
            f"Of {total} eigenpairs of {sign}, {missing} have not converged to a relative residual "
            f"of {digits(ACCURACY)}: within its residual of each value there is an eigenvalue, but "
            "others may lie further out. A larger --top also allows more products."
            for sign, missing, total in open_pairs
        ]
        return tuple(notes)

    def _matrices(self) -> list[Estimated]:
        found = (self._matrix("hessian", "H"), self._matrix("gauss_newton", "H₀"))
        return [m for m in found if m is not None and m.values.size]

    def _matrix(self, name: str, sign: str) -> Estimated | None:
        return Estimated.read(self.found, name, sign)

    def _exact_part(self) -> Portrait | None:
        if "gauss_newton/exact" not in self.found:
            return None
        values = self.found["gauss_newton/exact"]["values"]
        # the Gram matrix has the non-zero eigenvalues; the others are zeros, or it is the larger
        zeros = max(0, self.dim - values.size)
        largest = np.sort(values)[max(0, values.size - self.dim) :]
        return Portrait(
            results=[{"gauss_newton": np.sort(np.concatenate([np.zeros(zeros), largest]))}],
            what="1 run",
            tol=self.plan.tol,
            num_outputs=self.num_outputs,
            unit_roundoff=self.unit_roundoff,
        )

    def _definite(self, hessian: Estimated) -> Statement:
        tol = self.plan.tol
        index = hessian.count("negative", tol, self.plan.confidence)
        # a residual is a proof: that close there is an eigenvalue
        found = bool((hessian.values + hessian.residuals < -tol * hessian.scale).any())
        smallest = hessian.end("smallest").value / (hessian.scale or 1.0)
        return definite(
            [] if index is None else [index],
            tol,
            f"the smallest eigenvalue found is {digits(smallest)} of the largest",
            refuted=found,
        )

    def _agreement(self, hessian: Estimated) -> Statement:
        outer = self._matrix("gauss_newton", "H₀")
        if outer is not None:
            other = outer.values[outer.converged & (outer.values > 0)]
        elif "gauss_newton/exact" in self.found:
            other = np.sort(self.found["gauss_newton/exact"]["values"])[::-1]
            other = other[other > self.plan.tol * other[0]]
        else:
            return agreement(0, None, "H₀ was not measured")
        mine = hessian.values[hessian.converged & (hessian.values > 0)]
        few = min(mine.size, other.size, self.plan.top)
        if not few:
            return agreement(0, None, "no positive eigenvalue has converged")
        return agreement(few, np.abs(mine[:few] / other[:few] - 1).max())

    def _undetermined(self, outer: Estimated) -> Statement:
        rank = outer.rank(self.plan.tol, self.plan.confidence)
        counts = [] if rank is None else [rank]
        return undetermined(counts, self.dim, self.num_outputs, self.plan.tol)

    def quoted(self) -> tuple[Table, ...]:
        """The numbers of the matrices, and of the blocks of the layers."""
        matrices = [
            m.quoted(self.dim, self.plan.tol, self.plan.confidence) for m in self._matrices()
        ]
        exact_part = self._exact_part()
        if exact_part is not None:
            matrices.append(exact_part.quoted_as("gauss_newton", "H₀"))
        layers = self._layer_table()
        if not matrices:
            return () if layers is None else (layers,)
        if self.has_outputs:
            matrices.append(not_measured("H₁", self.dim))
        whole = matrix_table(
            matrices,
            self.plan.tol,
            more=(
                "A bracket that spans nearly all is what so many steps prove at this threshold; "
                "the chart of counts shows others. Trace and negative mass: by the Gauss rules of "
                "the density; the blocks by layer have probes of their own."
            ),
        )
        return (whole,) if layers is None else (whole, layers)

    def _pair_tables(self) -> list[Table]:
        found = []
        for m in self._matrices():
            n = m.values.size
            ends = n - n // 2 if m.sign == "H" else n
            rows = []
            for i in range(n):
                place = f"{i + 1} from above" if i < ends else f"{n - i} from below"
                done = "yes" if m.converged[i] else "no"
                rows.append((place, m.eigenvalue(i), _plain(float(m.residuals[i])), done))
            found.append(
                Table(
                    title=f"Eigenvalues of {m.sign}, one by one",
                    columns=("place", "eigenvalue", "residual", "converged"),
                    rows=tuple(rows),
                    note=(
                        "Residual: |A x − λ x| of the unit vector x that was found; converged: it "
                        f"is below {digits(ACCURACY)} |λ|. The error of λ is at most the residual, "
                        "and about its square over the gap to the next."
                    ),
                )
            )
        return found

    def _sum_table(self) -> Table | None:
        matrices = [m for m in self._matrices() if m.measure is not None]
        if not matrices:
            return None
        choices: tuple[tuple[str, Callable[[FloatArray], FloatArray]], ...] = (
            ("sum of the positive eigenvalues", lambda x: np.maximum(x, 0.0)),
            ("sum of the negative eigenvalues", lambda x: np.minimum(x, 0.0)),
            ("sum of the squares of all", np.square),
        )
        rows: list[tuple[str | Number, ...]] = [
            (f"{m.sign}: {words}", told(m.sum_of(f)))
            for m in matrices
            for words, f in choices
            if m.sign == "H" or f is np.square
        ]
        for m in matrices[:1]:
            index = m.count("negative", self.plan.tol, self.plan.confidence)
            assert index is not None
            confidence = digits(self.plan.confidence)
            rows.append(
                (
                    f"{m.sign}: fraction of eigenvalues below −tol × largest",
                    Number(
                        value=index.value / self.dim,
                        low=index.lower / self.dim,
                        high=index.upper / self.dim,
                        basis=f"fraction [bracket with confidence {confidence}]",
                    ),
                )
            )
        return Table(
            title="Sums over the spectrum",
            columns=("what", "value"),
            rows=tuple(rows),
            note=(
                "By Gauss rules: squares and traces without an error of the rules, sums of one "
                "sign with one that is small where the steps resolve the bulk."
            ),
        )

    def _layer_table(self) -> Table | None:
        parts = {
            name.partition("/")[2]: part
            for name, part in self.found.items()
            if name.startswith("layers/")
        }
        if not parts:
            return None
        rows: list[tuple[str | Number, ...]] = []
        for name, part in parts.items():
            top, room = float(part["top"]), float(part["residual"])
            trace, count = hutchinson(part), int(part["probes"])
            rows.append(
                (
                    name,
                    exact(int(part["dim"])),
                    Number(
                        value=top,
                        low=top - room,
                        high=top + room,
                        basis="eigenvalue [within its residual of one]",
                        digits=4,
                    ),
                    Number(
                        value=trace.value,
                        low=trace.lower,
                        high=trace.upper,
                        basis=f"trace [95% interval of Student's t over {count} probes]",
                        digits=4,
                    ),
                )
            )
        all_products = self._products("") or 1
        return Table(
            title="Diagonal blocks of H by layer",
            columns=("layer", "parameters", "largest |eigenvalue|", "trace"),
            rows=tuple(rows),
            note=(
                "Each block by itself, the other parameters held. Trace: Hutchinson's estimate "
                "from probes of the block alone, so that their sum is a second estimate of the "
                "trace of H beside the one of quadrature above. This table took "
                f"{self._products('layers') / all_products:.0%} of all products."
            ),
        )

    def _cost_table(self) -> Table:
        rows: list[tuple[str | Number, ...]] = []
        for stage, label in (_STAGES | {"": "all together"}).items():
            seconds = self._sum(stage, "seconds")
            if not seconds:
                continue
            products = self._products(stage)
            alone = self._sum(stage, "product_seconds") / max(products, 1) / self.gradient_seconds
            rows.append(
                (
                    label,
                    exact(products),
                    _plain(seconds),
                    _plain(seconds / self.gradient_seconds),
                    _plain(alone) if products else "",
                )
            )
        return Table(
            title="What it took",
            columns=("part", "products", "seconds", "in gradients", "gradients a product"),
            rows=tuple(rows),
            note=(
                f"One gradient takes {digits(self.gradient_seconds)} s here. Gradients a product: "
                "the product alone; the other columns hold the linear algebra of the bases too."
            ),
        )

    def _products(self, stage: str) -> int:
        return int(self._sum(stage, "products"))

    def _sum(self, stage: str, what: str) -> float:
        return sum(
            float(part.get(what, 0))
            for name, part in self.found.items()
            if name.startswith(stage) and "/" in name
        )


def _plain(value: float) -> Number:
    return Number(value=value, basis="measured once, so without an error", digits=3)
