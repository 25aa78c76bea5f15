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
    judge,
    measured,
    over,
)
from hessium.profiles.eigenvalue_counts import positive_at
from hessium.profiles.histogram import histogram_chart
from hessium.profiles.measurement import layer_names
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
        """Spectrum, histogram, two parts, layers, counts against the cut-off; those there are."""
        found = [self._spectrum_chart(), self._histogram_chart()]
        if self.has_parts:
            found.append(self._parts_chart())
        if layer_names(self.results):
            found.append(self._layer_chart())
        found.append(self._tol_chart())
        return tuple(chart for chart in found if chart is not None)

    def tables(self) -> tuple[Table, ...]:
        """One row for each matrix, one for each layer block."""
        whole = [name for name in _SIGNS if name in self.results[0]]
        found = [self._table(f"The matrices{self.when}", [(_SIGNS[n], n) for n in whole])]
        blocks = [
            (f"{_SIGNS[kind]} of layer {layer}", f"{kind}/{layer}")
            for layer in layer_names(self.results)
            for kind in ("hessian", "gauss_newton")
            if f"{kind}/{layer}" in self.results[0]
        ]
        if blocks:
            found.append(self._table(f"Diagonal blocks by layer{self.when}", blocks))
        return tuple(found)

    def statements(self) -> tuple[Statement, ...]:
        """What the counts say; every claim can fail."""
        found = []
        if self.has_hessian:
            most = self._each(lambda r: r["hessian"][0] / (np.abs(r["hessian"]).max() or 1.0))
            index, words = self._counted("hessian", both=False)
            found.append(
                judge(
                    f"The Hessian has no negative eigenvalue beyond tol{self.when}.",
                    self._all(index, lambda c: c.upper == 0, lambda c: c.lower == 0),
                    f"index {words} at tol {digits(self.tol)}; the smallest eigenvalue is "
                    f"{between(most)} of the largest",
                )
            )
        if self.has_parts:
            found.append(self._agreement())
        if "gauss_newton" in self.results[0]:
            dim = self.results[0]["gauss_newton"].size
            ranks, words = self._counted("gauss_newton", both=True)
            found.append(
                judge(
                    f"The data leave directions undetermined: rank(H₀) < parameters{self.when}.",
                    self._all(ranks, lambda c: c.upper < dim, lambda c: c.lower < dim),
                    f"rank {words} at tol {digits(self.tol)}, {digits(dim, 12)} parameters, "
                    f"{digits(self.num_outputs, 12)} outputs of all samples together",
                )
            )
        return tuple(found)

    def _counted(self, of: str, *, both: bool) -> tuple[list[Count], str]:
        counts = [self._count(result[of], of, both=both) for result in self.results]
        words = between([c.value for c in counts], 12)
        if any(not c.exact for c in counts):
            ends = [e for c in counts for e in (c.lower, c.upper)]
            words += f" (rounding allows {between(ends, 12)})"
        return counts, words

    @staticmethod
    def _all(
        counts: list[Count], surely: Callable[[Count], bool], perhaps: Callable[[Count], bool]
    ) -> bool | None:
        """True or False where rounding leaves no doubt, else None."""
        if all(map(surely, counts)):
            return True
        return None if all(map(perhaps, counts)) else False

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
            return judge("The largest eigenvalues of H are those of H₀.", None, "H₀ has rank 0")
        errors = self._each(worst)
        return judge(
            f"The largest {few} eigenvalues of H are those of H₀ within a tenth{self.when}.",
            bool((errors < 0.1).all()),
            f"greatest relative difference {between(errors, 2)}",
        )

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
            x_label="place in the order of size",
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
                rows = [positive_at(sign * r[of], tols) for r in self.results]
                series.append(self._count_curve(label, tols, np.array(rows, dtype=np.float64)))
        return Chart(
            name="cut-off" + self.suffix,
            title="Counts depend on the cut-off" + self.when,
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

    def _table(self, title: str, rows: list[tuple[str, str]]) -> Table:
        return Table(
            title=title,
            columns=("matrix", "size", "rank", "index", "largest", "smallest", "trace"),
            rows=tuple(
                (
                    label,
                    exact(self.results[0][of].size),
                    self._number_of(of, both=True),
                    self._number_of(of, both=False),
                    self._value(of, lambda v: float(v[-1])),
                    self._value(of, lambda v: float(v[0])),
                    self._value(of, lambda v: float(v.sum())),
                )
                for label, of in rows
            ),
            note=(
                f"Rank: eigenvalues beyond {digits(self.tol)} of the largest absolute one; index: "
                "the negative ones among them."
            ),
        )

    def _value(self, of: str, number: Callable[[FloatArray], float]) -> Number:
        values = self._each(lambda r: number(r[of]))
        if len(values) > 1:
            return over(values, self.what, digits=4)
        error = self._resolution(of) * float(np.abs(self.results[0][of]).max())
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
        counts = [self._count(result[of], of, both=both) for result in self.results]
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

    def _count(self, values: FloatArray, of: str, *, both: bool) -> Count:
        found = exact_spectrum(values, of, self.num_outputs, self.unit_roundoff).inertia(self.tol)
        return found.rank if both else found.negative


def exact_spectrum(
    values: FloatArray, name: str, num_outputs: int, unit: float, dim: int | None = None
) -> Spectrum:
    """The spectrum of a matrix of `measure`, with what is known of H0.

    Args:
        values: its eigenvalues.
        name: of the matrix.
        num_outputs: samples times outputs, which bound the rank of H0.
        unit: machine epsilon of the arithmetic that made the matrix.
        dim: size of the matrix, where eigenvalues that are zero are left out.
    """
    # a Gram matrix may be the larger one: then its other eigenvalues are zeros
    values = np.sort(values)[max(0, values.size - (dim or values.size)) :]
    dim = dim or values.size
    # `spectrum` leaves no negative value where none can be, and counts the samples' directions
    nonnegative = name.startswith("gauss_newton") and bool(values.min() >= 0)
    return Spectrum.of(
        values,
        dim=dim,
        resolution=relative_resolution(dim, unit) * float(np.abs(values).max()),
        nonnegative=nonnegative,
        rank_bound=num_outputs if nonnegative else None,
    )
