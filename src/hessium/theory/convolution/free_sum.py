"""Free additive convolution of any number of laws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from hessium.errors import InputError
from hessium.theory.convolution.general_sum import GeneralSum
from hessium.theory.convolution.levy_sum import LevySum
from hessium.theory.laws.empirical import Empirical, centred
from hessium.theory.laws.law import Affine, Law, affine, checked_law
from hessium.theory.laws.levy import FreeLevy, LevyLaw
from hessium.theory.laws.levy_triple import LevyTriple

_VISIBLE = 8 * float(np.finfo(float).eps)


def free_sum(*laws: Law) -> Law:
    r"""The law of $X_1 + \dots + X_k$ for free $X_i$: $R = \sum_i R_i$.

    Summands with a finite-jump Levy form (semicircle, Marchenko-Pastur, ReLU residuals and their
    sums) add up exactly into one, and a single atom is a shift. All other summands give one fixed
    point in several variables; for two laws on two points it has a closed form. A summand that is
    itself a free sum is replaced by its summands.

    Args:
        laws: one or more laws.

    Returns:
        A law. Where it is computed by iteration, `residual(x)` certifies its values.

    Raises:
        InputError: if no law is given, or the noise is below the rounding of the positions.

    Example:
        >>> law = hs.theory.free_sum(hs.theory.MarchenkoPastur(0.25), hs.theory.Semicircle(0.2))
        >>> round(law.mean(), 9), round(law.var(), 9)
        (1.0, 0.45)
    """
    if not laws:
        msg = "laws: none given; a free sum needs at least one law"
        raise InputError(msg)
    for law in laws:
        checked_law("laws", law)
    shift, triple, others = 0.0, LevyTriple(), []
    for law in _summands(laws):
        if isinstance(law, LevyLaw):
            triple = triple + law.triple
        elif isinstance(law, Empirical) and law.nodes.size == 1:
            shift += float(law.nodes[0])
        else:
            others.append(law)
    is_levy = bool(triple.rates) or triple.variance > 0
    if not others:
        if not is_levy:
            return Empirical([shift])
        return FreeLevy.from_triple(triple.affine(1.0, shift))
    noise = triple.affine(1.0, shift)
    if is_levy:
        _require_visible(noise, others)
    # far from zero the median would take the digits of the positions
    pairs = [centred(law) for law in others]
    others, medians = [law for law, _ in pairs], math.fsum(m for _, m in pairs)
    if not is_levy:
        total = others[0] if len(others) == 1 else GeneralSum(tuple(others))
        return affine(total, shift=shift + medians)
    if len(others) == 1:
        return affine(LevySum(others[0], noise), shift=medians)
    return affine(GeneralSum((*others, FreeLevy.from_triple(noise))), shift=medians)


def _summands(laws: Iterable[Law]) -> Iterator[Law]:
    """The laws that are added, with free sums replaced by their summands."""
    for law in laws:
        if isinstance(law, (GeneralSum, LevySum)):
            yield from _summands(law.laws)
        elif isinstance(law, Affine) and law.factor == 1:
            yield from _summands((law.base, Empirical([law.offset])))
        else:
            yield law


def _require_visible(noise: LevyTriple, others: list[Law]) -> None:
    """Check that the noise is wider than the rounding of the positions."""
    spread = float(noise.free_cumulants(2)[1]) ** 0.5
    size = max(abs(sum(ends)) for ends in zip(*(law.support() for law in others), strict=True))
    if spread < _VISIBLE * size:
        msg = (
            f"laws: noise of standard deviation {spread:.3g} is below the rounding of positions "
            f"near {size:.3g}; leave it out"
        )
        raise InputError(msg)
