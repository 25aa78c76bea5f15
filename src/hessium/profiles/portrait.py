"""Matrices of one risk in tables, charts and statements: of one run, or of several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import Chart, Number, Statement, Table, exact, judge, over
from hessium.figures.views.matrices import density_chart, magnitudes_chart, thresholds_chart
from hessium.profiles.cells import (
    Cell,
    count_cell,
    eigenvalue_cell,
    end_cell,
    negative_mass_cell,
    number_cell,
)
from hessium.profiles.matrix_profile import LayerProfile, MatrixProfile, exact_layer
from hessium.spectra import Count, Spectrum

SIGNS = {"hessian": "H", "gauss_newton": "H₀", "residual": "H₁"}
_MOST_LAYERS = 6  # of one chart
_NOTE = (
    "Negative mass: Σ|λ₋| / Σ|λ|. Rank: number of eigenvalues with |λ| > {tol} max |λ|; index: the "
    "negative ones of these."
)
T = TypeVar("T")
Runs: TypeAlias = Sequence[MatrixProfile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """The matrices and layers of one risk, measured once or for several seeds.

    Attributes:
        matrices: by name, one for each run.
        layers: by name, one for each run.
        tol: relative threshold of index and rank.
        num_outputs: samples x outputs, a bound on the rank of H0.
        confidence: of the brackets of counts.
        top: number of eigenvalues of H compared with those of H0.
        what: what the runs are, such as "3 seeds".
        suffix: of the names of charts, where a page has several portraits.
        when: for headings, such as ", after training".
    """

    matrices: Mapping[str, Runs]
    layers: Mapping[str, Sequence[LayerProfile]]
    tol: float
    num_outputs: int
    confidence: float = 0.999
    top: int = 10
    what: str = "1 run"
    suffix: str = ""
    when: str = ""

    @classmethod
    def of(
        cls, runs: Sequence[Mapping[str, Spectrum]], *, tol: float, num_outputs: int, what: str,
        suffix: str = "", when: str = "",
    ) -> Portrait:  # fmt: skip
        """From exact spectra as `dense_spectra` names them, one mapping for each run."""
        names = list(runs[0])
        layers = [n.partition("/")[2] for n in names if n.startswith("hessian/")]
        return cls(
            matrices={n: [MatrixProfile(spectrum=r[n]) for r in runs] for n in SIGNS if n in names},
            layers={
                n: [exact_layer(r[f"hessian/{n}"], r.get(f"gauss_newton/{n}")) for r in runs]
                for n in layers
            },
            tol=tol, num_outputs=num_outputs, what=what, suffix=suffix, when=when,
        )  # fmt: skip

    def quoted(self) -> tuple[Table, ...]:
        """The numbers of the matrices side by side, then those of the layers."""
        columns = {SIGNS[name]: self._numbers(runs) for name, runs in self.matrices.items()}
        found = []
        if columns:
            first = next(iter(columns.values()))
            found.append(
                Table(
                    title=f"The matrices{self.when}",
                    columns=("number", *columns),
                    rows=tuple((row, *(one[row] for one in columns.values())) for row in first),
                    note=_NOTE.format(tol=digits(self.tol)),
                )
            )
        blocks = {label: one for name in self.layers for label, one in self._blocks(name).items()}
        if blocks:
            first = next(iter(blocks.values()))
            note = "Diagonal blocks: second derivatives by the parameters of one layer alone."
            found.append(
                Table(
                    title=f"Layers{self.when}",
                    columns=("block", *first),
                    rows=tuple((label, *one.values()) for label, one in blocks.items()),
                    note=f"{note} {_NOTE.format(tol=digits(self.tol))}"
                    if "rank" in first
                    else note,
                )
            )
        return tuple(found)

    def charts(self) -> tuple[Chart, ...]:
        """Density, eigenvalues by magnitude, layers, and counts over the threshold."""
        signed = {SIGNS[name]: runs for name, runs in self.matrices.items()}
        blocks: dict[str, list[MatrixProfile]] = {}
        for name, runs in list(self.layers.items())[:_MOST_LAYERS]:
            spectra = [run.hessian for run in runs if run.hessian is not None]
            if spectra:
                label = f"layer {name} ({spectra[0].dim} parameters)"
                blocks[label] = [MatrixProfile(spectrum=one) for one in spectra]
        counted = {sign: runs for sign, runs in signed.items() if sign != SIGNS["residual"]}
        found = (
            density_chart(signed, self.what, f"density{self.suffix}", self.when),
            magnitudes_chart(
                signed, self.what, f"eigenvalues{self.suffix}",
                f"Eigenvalues by magnitude{self.when}", scale_of="H" if "H" in signed else "",
            ),
            magnitudes_chart(
                blocks, self.what, f"layers{self.suffix}", f"Layers{self.when}",
                scale_of="H", scales=signed.get("H", ()), signs=(1,),
            ),
            thresholds_chart(
                counted, self.what, f"threshold{self.suffix}", self.when, self.confidence
            ),
        )  # fmt: skip
        return tuple(chart for chart in found if chart is not None)

    def statements(self) -> tuple[Statement, ...]:
        """Claims about the matrices that the numbers can contradict."""
        found = (self._definite(), self._agreement(), self._undetermined())
        return tuple(statement for statement in found if statement is not None)

    def _numbers(self, runs: Runs) -> dict[str, Cell]:
        def each(cell: Callable[[MatrixProfile], Cell], digits: int = 4) -> Cell:
            return self._over([cell(one) for one in runs], digits)

        def count(one: MatrixProfile, what: str) -> Cell:
            return count_cell(self._count(one, what))

        return {
            "size": exact(runs[0].dim),
            "largest eigenvalue": each(lambda one: end_cell(one, largest=True)),
            "smallest eigenvalue": each(lambda one: end_cell(one, largest=False)),
            "trace": each(lambda one: number_cell(one, lambda m: m.trace)),
            "Frobenius norm": each(lambda one: number_cell(one, lambda m: m.frobenius_norm)),
            "negative mass": each(negative_mass_cell),
            "index": each(lambda one: count(one, "negative"), 12),
            "rank": each(lambda one: count(one, "rank"), 12),
        }

    def _blocks(self, layer: str) -> dict[str, dict[str, Cell]]:
        """The numbers of the blocks of H and H0 of one layer."""
        runs = self.layers[layer]
        found = {}
        for name in ("hessian", "gauss_newton"):
            spectra: list[Spectrum] = [s for r in runs if (s := getattr(r, name)) is not None]
            if spectra:
                cells = self._numbers([MatrixProfile(spectrum=one) for one in spectra])
                found[f"{SIGNS[name]} of layer {layer}"] = cells
        if found:
            return found
        (one,) = runs
        return {
            f"H of layer {layer}": {
                "size": exact(one.dim),
                "largest |eigenvalue|": eigenvalue_cell(one.largest, one.error, exact=False),
                "trace": number_cell(one, lambda layer: layer.trace),
            }
        }

    def _over(self, cells: Sequence[Cell], digits: int) -> Cell:
        """One cell as it is; of several the median and the range."""
        if len(cells) == 1:
            return cells[0]
        values = [cell.value for cell in cells if isinstance(cell, Number)]
        if len(values) < len(cells):
            return next(cell for cell in cells if isinstance(cell, str))
        return over(values, self.what, digits=digits)

    def _count(self, one: MatrixProfile, what: str) -> Count | None:
        if one.spectrum is None:
            return None
        found = one.inertia(self.tol, self.confidence)
        return found.rank if what == "rank" else found.negative

    def _definite(self) -> Statement | None:
        """Whether H has negative eigenvalues."""
        runs = self.matrices.get("hessian", ())
        if not runs:
            return None
        counts = self._counts(runs, "negative")
        # within its residual of a value there is an eigenvalue
        proved = [
            bool((one.eigenvalues + one.residuals < -self.tol * one.scale).any()) for one in runs
        ]
        holds = False if any(proved) else None
        if counts and not any(proved):
            holds = _all([c.upper == 0 for c in counts], [c.lower == 0 for c in counts])
        least = [one.eigenvalues.min(initial=0.0) / (one.scale or 1.0) for one in runs]
        return judge(
            f"The Hessian is positive semidefinite up to the threshold{self.when}.",
            holds,
            f"index {_in_words(counts)} at |λ| > {digits(self.tol)} max |λ|; the smallest "
            f"eigenvalue is {between(least)} max |λ|",
        )

    def _agreement(self) -> Statement | None:
        """Whether the largest eigenvalues of H are close to those of H0."""
        if not {"hessian", "gauss_newton"} <= set(self.matrices):
            return None
        pairs = [
            tuple(self._positive(self.matrices[name][run]) for name in ("hessian", "gauss_newton"))
            for run in range(len(self.matrices["hessian"]))
        ]
        few = min(self.top, *(values.size for pair in pairs for values in pair))
        if not few:
            return None
        errors = [float(np.abs(h[:few] / h0[:few] - 1).max()) for h, h0 in pairs]
        return judge(
            f"The largest {few} eigenvalues of H are those of H₀ within 10 %{self.when}."
            if few > 1
            else f"The largest eigenvalue of H is that of H₀ within 10 %{self.when}.",
            max(errors) < 0.1,
            f"largest relative difference {between(errors, 2)}",
        )

    def _undetermined(self) -> Statement | None:
        """Whether rank H0 < parameters; with fewer outputs it always is, and nothing is said."""
        runs = self.matrices.get("gauss_newton", ())
        if not runs or self.num_outputs < runs[0].dim:
            return None
        dim, counts = runs[0].dim, self._counts(runs, "rank")
        return judge(
            f"The data leave directions undetermined: rank H₀ < parameters{self.when}.",
            _all([c.upper < dim for c in counts], [c.lower < dim for c in counts])
            if counts
            else None,
            f"rank {_in_words(counts)} at λ > {digits(self.tol)} max λ, {digits(dim, 12)} "
            f"parameters, samples × outputs {digits(self.num_outputs, 12)}",
        )

    def _positive(self, one: MatrixProfile) -> FloatArray:
        """Known eigenvalues above the threshold, descending."""
        kept = one.converged & (one.eigenvalues > self.tol * one.scale)
        return np.asarray(one.eigenvalues[kept])

    def _counts(self, runs: Runs, what: str) -> list[Count]:
        return [count for one in runs if (count := self._count(one, what)) is not None]


def _in_words(counts: Sequence[Count]) -> str:
    """A count with its bracket; of several the range."""
    if not counts:
        return "not measured"
    words = between([c.value for c in counts], 12)
    if all(c.exact for c in counts):
        return words
    given = {c.confidence for c in counts if c.confidence is not None}
    likely = f" with confidence {digits(min(given))}" if given else " by rounding"
    return (
        f"{words} (bracket {between([e for c in counts for e in (c.lower, c.upper)], 12)}{likely})"
    )


def _all(surely: Sequence[bool], perhaps: Sequence[bool]) -> bool | None:
    """True or False where the brackets leave no doubt, else None."""
    return True if all(surely) else None if all(perhaps) else False
