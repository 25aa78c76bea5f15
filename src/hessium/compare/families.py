"""Families of laws with positive parameters, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.theory import (
    Law,
    MarchenkoPastur,
    Semicircle,
    relu_hessian,
    relu_residual,
    wishart_wigner,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of laws with a few positive parameters.

    Attributes:
        name: for messages.
        parameters: their names, each with its power of the unit of the eigenvalues: 2 for a
            variance, 0 for a ratio.
        make: the law of given parameters.
        start: rough parameters from the mean, variance and third central moment of trimmed
            eigenvalues.
        from_zeros: parameters determined exactly by the number of zero eigenvalues and the size of
            the matrix, for laws with an atom at zero.
        nonnegative: whether no matrix of the family has a negative eigenvalue.

    Example:
        >>> sorted(hs.compare.FAMILIES)[:2]
        ['marchenko-pastur', 'relu']
    """

    name: str
    parameters: Mapping[str, int]
    make: Callable[..., Law]
    start: Callable[[float, float, float], Mapping[str, float]]
    from_zeros: Callable[[int, int], Mapping[str, float]] | None = None
    nonnegative: bool = False

    def law(self, values: Mapping[str, float]) -> Law:
        """The law of named parameters."""
        return self.make(**values)


def _wishart_wigner(mean: float, variance: float, third: float) -> dict[str, float]:
    # free cumulants: scale, scale^2 ratio + 2 energy, scale^3 ratio^2
    scale = mean if mean > 0.05 * variance**0.5 else 0.05 * variance**0.5
    ratio = float(np.sqrt(max(third, 0.0) / scale**3))
    ratio = float(np.clip(ratio, 0.1 * variance / scale**2, 0.9 * variance / scale**2))
    return {"scale": scale, "ratio": ratio, "energy": (variance - scale**2 * ratio) / 2}


def _relu(mean: float, variance: float, third: float) -> dict[str, float]:
    # free cumulants: scale, scale^2 ratio + energy ratio / 2, scale^3 ratio^2
    rough = _wishart_wigner(mean, variance, third)
    rest = variance - rough["scale"] ** 2 * rough["ratio"]
    return {**rough, "energy": 2 * rest / rough["ratio"]}


def _marchenko_pastur(mean: float, variance: float, third: float) -> dict[str, float]:
    scale = mean if mean > 0.05 * variance**0.5 else 0.05 * variance**0.5
    return {"scale": scale, "ratio": variance / scale**2}


def _ratio_of_atom(zeros: int, size: int) -> dict[str, float]:
    # the atom of a ratio above one has mass 1 - 1/ratio: rows less columns, not one zero more
    return {"ratio": size / (size - zeros)}


def _relu_residual(mean: float, variance: float, third: float) -> dict[str, float]:
    return {"ratio": 0.5, "energy": 4 * variance}


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="wishart-wigner",
            parameters={"scale": 1, "ratio": 0, "energy": 2},
            make=wishart_wigner,
            start=_wishart_wigner,
        ),
        Family(
            name="relu",
            parameters={"scale": 1, "ratio": 0, "energy": 2},
            make=relu_hessian,
            start=_relu,
        ),
        Family(
            name="marchenko-pastur",
            parameters={"scale": 1, "ratio": 0},
            make=MarchenkoPastur,
            start=_marchenko_pastur,
            from_zeros=_ratio_of_atom,
            nonnegative=True,
        ),
        Family(
            name="semicircle",
            parameters={"variance": 2},
            make=Semicircle,
            start=lambda mean, variance, third: {"variance": variance},
        ),
        Family(
            name="relu-residual",
            parameters={"ratio": 0, "energy": 2},
            make=relu_residual,
            start=_relu_residual,
            from_zeros=_ratio_of_atom,
        ),
    )
}
"""The families of `fit`."""


def family_of(name: str | Family) -> Family:
    """A family by name, or a family given by the user.

    Raises:
        InputError: if the name is unknown.
    """
    if isinstance(name, Family):
        return name
    if not isinstance(name, str) or name not in FAMILIES:
        msg = f"family: {name!r}; one of {', '.join(FAMILIES)}, or a Family, is required"
        raise InputError(msg)
    return FAMILIES[name]


def trimmed(values: FloatArray) -> FloatArray:
    """Values not far outside the central 80 %."""
    low, high = np.quantile(values, [0.1, 0.9])
    reach = 1.5 * (high - low)
    return values[(values >= low - reach) & (values <= high + reach)]


def rough_moments(values: FloatArray, share: float) -> tuple[float, float, float]:
    """Mean, variance and third central moment of values that are a share of all, zeros the rest."""
    one, two, three = (share * float((values**k).mean()) for k in (1, 2, 3))
    return one, two - one**2, three - 3 * one * two + 2 * one**3
