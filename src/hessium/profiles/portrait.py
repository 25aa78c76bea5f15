"""Charts, tables and statements of what `measure` found, for one run or several seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import (
    Chart,
    Number,
    Series,
    Statement,
    Table,
    exact,
    measured,
    over,
)
from hessium.profiles.histogram import histogram_chart
from hessium.profiles.measurement import exact_spectrum, layer_names
from hessium.profiles.quoted import (
    Cell,
    Quoted,
    agreement,
    block_table,
    definite,
    matrix_table,
    undetermined,
)
from hessium.runs.experiment import Result
from hessium.spectra import Count, Spectrum
from hessium.spectra.measure import relative_resolution

_SIGNS = {"hessian": "H", "gauss_newton": "H₀", "residual": "H₁"}
_TOLS = tuple(10.0 ** (-k / 2) for k in range(4, 25))
_MOST_POINTS = 150
_TOP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """Spectra of one risk, measured once or for several seeds.

    Attributes:
        results: what `measure` returned, one for each seed.
        what: what the results are repeated over, such as "3 seeds".
        tol: eigenvalues count beyond this fraction of the largest absolute one.
        num_outputs: samples times outputs.
        suffix: for the names of charts, where a page has several portraits.
        when: for headings and labels, such as " after training".
        unit_roundoff: of the arithmetic that made the matrices.
    """

    results: Sequence[Result]
    what: str
    tol: float
    num_outputs: int
    suffix: str = ""
    when: str = ""
    unit_roundoff: float = float(np.finfo(np.float64).eps)

    @property
    def has_hessian(self) -> bool:
        """False where only the Gauss-Newton part was small enough."""
        return "hessian" in self.results[0]

    @property
    def has_parts(self) -> bool:
        """False for a closure, which has no outputs."""
        return "residual" in self.results[0]

    def charts(self) -> tuple[Chart, ...]:
        """Histogram, spectrum, two parts, layers, counts against the threshold; those there are."""
        found = [self._histogram_chart(), self._spectrum_chart()]
        if self.has_parts:
            found.append(self._parts_chart())
        if layer_names(self.results):
            found.append(self._layer_chart())
        found.append(self._tol_chart())
        return tuple(chart for chart in found if chart is not None)

    def quoted(self) -> tuple[Table, ...]:
        """The numbers of the matrices, and of the blocks of the layers."""
        whole = [self.quoted_as(name, sign) for name, sign in _SIGNS.items() if self._has(name)]
        blocks = [
            self.quoted_as(f"{kind}/{layer}", f"{_SIGNS[kind]} of layer {layer}")
            for layer in layer_names(self.results)
            for kind in ("hessian", "gauss_newton")
            if self._has(f"{kind}/{layer}")
        ]
        found = [matrix_table(whole, self.tol, self.when)]
        return (*found, block_table(blocks, self.tol, self.when)) if blocks else tuple(found)

    def statements(self) -> tuple[Statement, ...]:
        """What the counts say; every claim can fail."""
        found = []
        if self.has_hessian:
            most = self._each(lambda r: r["hessian"][0] / (np.abs(r["hessian"]).max() or 1.0))
            smallest = f"the smallest eigenvalue is {between(most)} of the largest"
            found.append(
                definite(self._counts("hessian", both=False), self.tol, smallest, self.when)
            )
        if self.has_parts:
            found.append(self._agreement())
        if self._has("gauss_newton"):
            dim = self.results[0]["gauss_newton"].size
            ranks = self._counts("gauss_newton", both=True)
            found.append(undetermined(ranks, dim, self.num_outputs, self.tol, self.when))
        return tuple(found)

    def _has(self, name: str) -> bool:
        return name in self.results[0]

    def _agreement(self) -> Statement:
        # below tol there are no eigenvalues to compare, only rounding
        counted = min(
            int(self._count(r["gauss_newton"], "gauss_newton", both=True)) for r in self.results
        )
        few = min(_TOP, counted)

        def worst(result: Result) -> float:
            top, top0 = (np.sort(result[k])[::-1][:few] for k in ("hessian", "gauss_newton"))
            return float(np.abs(top / top0 - 1).max())

        if few == 0:
            return agreement(0, None, "H₀ has rank 0", self.when)
        return agreement(few, self._each(worst), when=self.when)

    def _each(self, number: Callable[[Result], float]) -> FloatArray:
        return np.array([number(result) for result in self.results], dtype=np.float64)

    def _curve(self, label: str, of: str, sign: int = 1, scale_of: str = "") -> Series | None:
        rows = []
        for result in self.results:
            values = np.sort(sign * result[of])[::-1]
            scale = np.abs(result[scale_of or self._main()]).max()
            # below this a value is rounding, and so is its sign
            rows.append(values[values > self.resolution * scale] / (scale or 1.0))
        length = min(row.size for row in rows)
        if length == 0:
            return None
        # evenly on the logarithmic axis; all of them are in the arrays
        steps = np.unique(np.geomspace(1, length, min(length, _MOST_POINTS)).round()).astype(int)
        table = np.stack([row[steps - 1] for row in rows])
        if len(rows) > 1:
            return measured(label, steps, table, what=self.what, mark="line")
        return Series(
            label=label,
            x=steps.astype(np.float64),
            y=table[0],
            error=f"each known to rounding, about {digits(self.resolution, 1)} on this scale",
            source="measured",
            mark="line",
        )

    def _size(self, layer: str) -> int:
        return int(self.results[0][f"hessian/{layer}"].size)

    def _main(self) -> str:
        return "hessian" if self.has_hessian else "gauss_newton"

    @property
    def resolution(self) -> float:
        """Rounding error of an eigenvalue over the largest one."""
        return self._resolution(self._main())

    def _resolution(self, of: str) -> float:
        return relative_resolution(self.results[0][of].size, self.unit_roundoff)

    def _size_chart(
        self, name: str, title: str, caption: str, curves: list[Series | None]
    ) -> Chart | None:
        if not any(curves):  # a zero matrix
            return None
        return Chart(
            name=name + self.suffix,
            title=title + self.when,
            caption=caption,
            x_label="eigenvalue index, sorted by magnitude",
            y_label=f"|eigenvalue| / largest of {_SIGNS[self._main()]}",
            x_scale="log",
            y_scale="log",
            series=tuple(curve for curve in curves if curve is not None),
        )

    def _spectrum_chart(self) -> Chart | None:
        if not self.has_hessian:
            caption = "Non-zero eigenvalues of H₀, from the Gram matrix."
            curves = [self._curve("H₀, measured", "gauss_newton")]
            return self._size_chart("spectrum", "Spectrum of H₀", caption, curves)
        curves = [
            self._curve("H, positive eigenvalues, measured", "hessian"),
            self._curve("H, negative eigenvalues, measured", "hessian", -1),
        ]
        caption = "Eigenvalues of each sign in the order of their size, over the largest."
        return self._size_chart("spectrum", "Spectrum of the Hessian", caption, curves)

    def _histogram_chart(self) -> Chart | None:
        names = [n for n in ("hessian", "gauss_newton") if n in self.results[0]]
        return histogram_chart(
            {_SIGNS[name]: [result[name] for result in self.results] for name in names},
            # what rounding leaves of a zero is no eigenvalue of its own
            max(self.tol, *(self._resolution(name) for name in names)),
            self.what,
            self.when,
            "histogram" + self.suffix,
        )

    def _parts_chart(self) -> Chart | None:
        curves = [
            self._curve("H₀ (Gauss-Newton), measured", "gauss_newton"),
            self._curve("H₁ = H − H₀, positive, measured", "residual"),
            self._curve("H₁ = H − H₀, negative, measured", "residual", -1),
        ]
        caption = (
            "The part that the data determine, and the part that the residuals add: where H₁ "
            "meets H₀, the Hessian is no longer positive."
        )
        return self._size_chart("parts", "Its two parts", caption, curves)

    def _layer_chart(self) -> Chart | None:
        curves = [
            self._curve(
                f"layer {layer} ({self._size(layer)} parameters), measured", f"hessian/{layer}"
            )
            for layer in layer_names(self.results)
        ]
        caption = "Positive eigenvalues of the diagonal block of H of each layer, by its name."
        return self._size_chart("layers", "Layer by layer", caption, curves[:6])

    def _tol_chart(self) -> Chart:
        choices = (
            ("rank of H₀, measured", "gauss_newton", 1),
            ("positive eigenvalues of H, measured", "hessian", 1),
            ("negative eigenvalues of H (index), measured", "hessian", -1),
        )
        tols = np.array([tol for tol in _TOLS if tol > self.resolution])
        series = []
        for label, of, sign in choices:
            if of in self.results[0]:
                rows = [Spectrum.of(sign * r[of]).rank_profile(tols).positive for r in self.results]
                series.append(self._count_curve(label, tols, np.array(rows, dtype=np.float64)))
        return Chart(
            name="threshold" + self.suffix,
            title="Counts depend on the threshold" + self.when,
            caption="Eigenvalues beyond tol times the largest absolute one of their matrix.",
            x_label="tol, fraction of the largest |eigenvalue|",
            y_label="number of eigenvalues",
            x_scale="log",
            series=tuple(series),
        )

    def _count_curve(self, label: str, tols: FloatArray, rows: FloatArray) -> Series:
        if len(rows) > 1:
            return measured(label, tols, rows, what=self.what, mark="line")
        return Series(
            label=label,
            x=tols,
            y=rows[0],
            error=f"counts; rounding decides below {digits(self.resolution, 1)}, left out",
            source="measured",
            mark="line",
        )

    def quoted_as(self, of: str, sign: str) -> Quoted:
        """The numbers of one matrix under a sign."""
        dim = int(self.results[0][of].size)
        return Quoted(
            sign=sign,
            dim=dim,
            largest=self._value(of, lambda v: float(v[-1])),
            smallest=self._value(of, lambda v: float(v[0])),
            trace=self._value(of, lambda v: float(v.sum()), terms=dim),
            negative_mass=self._negative_mass(of),
            index=self._number_of(of, both=False),
            rank=self._number_of(of, both=True),
        )

    def _negative_mass(self, of: str) -> Cell:
        if not all(result[of].any() for result in self.results):
            return "the matrix is zero"

        def share(values: FloatArray, shift: float = 0.0) -> float:
            moved = values + shift
            total = np.abs(moved).sum()
            return float(np.maximum(-moved, 0.0).sum() / total) if total else 1.0

        values = self._each(lambda r: share(r[of]))
        if len(values) > 1:
            return over(values, self.what, digits=4)
        error = self._resolution(of) * float(np.abs(self.results[0][of]).max())
        # all eigenvalues up, or all of them down, by their rounding
        ends = [share(self.results[0][of], shift) for shift in (error, -error)]
        low, high = ends
        return Number(
            value=float(values[0]), low=low, high=high, basis="value [bounds of rounding]", digits=4
        )

    def _value(self, of: str, number: Callable[[FloatArray], float], terms: int = 1) -> Number:
        values = self._each(lambda r: number(r[of]))
        if len(values) > 1:
            return over(values, self.what, digits=4)
        error = terms * self._resolution(of) * float(np.abs(self.results[0][of]).max())
        # a number below its own rounding error is no finding, so the bracket is always there
        value = float(values[0])
        return Number(
            value=value,
            low=value - error,
            high=value + error,
            basis="value [bounds of rounding]",
            digits=4,
        )

    def _number_of(self, of: str, *, both: bool) -> Number:
        counts = self._counts(of, both=both)
        if len(counts) > 1:
            return over([c.value for c in counts], self.what, digits=12)
        (count,) = counts
        if count.exact:
            return exact(count.value)
        low, high = float(count.lower), float(count.upper)
        return Number(
            value=float(count.value),
            low=low,
            high=high,
            basis="count [bounds of rounding]",
            digits=12,
        )

    def _counts(self, of: str, *, both: bool) -> list[Count]:
        return [self._count(result[of], of, both=both) for result in self.results]

    def _count(self, values: FloatArray, of: str, *, both: bool) -> Count:
        found = exact_spectrum(values, of, self.num_outputs, self.unit_roundoff).inertia(self.tol)
        return found.rank if both else found.negative
