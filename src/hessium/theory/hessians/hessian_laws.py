r"""The limit laws of the Hessian of a two-layer square network.

Conventions (Pennington and Bahri, ICML 2017): loss $(2m)^{-1} \sum (\hat y - y)^2$ over m samples,
energy = loss / outputs, ratio = parameters / (samples * outputs) = 2n/m; H = H0 + H1 with H0 the
Gauss-Newton part and H1 the residual part, free of each other by assumption.
"""

from __future__ import annotations

import math

from hessium._typing import Real
from hessium.theory import _check
from hessium.theory.laws.levy import FreeLevy, LevyLaw
from hessium.theory.laws.levy_triple import LevyTriple
from hessium.theory.laws.marchenko_pastur import MarchenkoPastur


def wishart_wigner(energy: Real, ratio: Real, scale: Real = 1.0) -> LevyLaw:
    r"""The Hessian law of a linear network: Marchenko-Pastur plus semicircle of variance 2 energy.

    $R(g) = \sigma/(1 - \sigma\phi g) + 2\epsilon g$ (eq. 16). At scale 1, G solves
    $2\epsilon\phi G^3 - (2\epsilon + \phi z)G^2 + (z + \phi - 1)G - 1 = 0$ (eq. 18).

    Args:
        energy: epsilon >= 0, loss per output at the critical point.
        ratio: phi > 0, parameters over samples times outputs.
        scale: sigma > 0, mean of the Gauss-Newton spectrum.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> law = hs.theory.wishart_wigner(energy=0.1, ratio=0.25)
        >>> round(law.mean(), 9), round(law.var(), 9)
        (1.0, 0.45)
    """
    wishart = MarchenkoPastur(ratio=ratio, scale=scale)
    variance = 2 * _check.nonnegative("energy", energy)
    if variance == 0:
        return wishart
    return FreeLevy.from_triple(wishart.triple + LevyTriple(variance=variance))


def relu_residual(energy: Real, ratio: Real) -> LevyLaw:
    r"""The law of H1 in a ReLU network: $R(g) = \epsilon\phi g/(2 - \epsilon\phi^2 g^2)$ (eq. 28).

    It is the symmetric compound free Poisson law of rate 1/phi with jumps
    $\pm\phi\sqrt{\epsilon/2}$: variance $\epsilon\phi/2$, fourth free cumulant
    $\epsilon^2\phi^3/4$, an atom $1 - 1/\phi$ at zero for phi > 1.

    Args:
        energy: epsilon > 0.
        ratio: phi > 0.

    Raises:
        InputError: if an argument is not a positive number.

    Example:
        >>> law = hs.theory.relu_residual(energy=0.1, ratio=0.25)
        >>> round(law.mean(), 9)
        0.0
    """
    share = 0.5 / _check.positive("ratio", ratio)
    jump = ratio * math.sqrt(_check.positive("energy", energy) / 2)
    return FreeLevy(rates=(share, share), jumps=(-jump, jump))


def relu_hessian(energy: Real, ratio: Real, scale: Real = 1.0) -> LevyLaw:
    r"""The Hessian law of a ReLU network: Marchenko-Pastur plus the residual law.

    $R(g) = \sigma/(1 - \sigma\phi g) + \epsilon\phi g/(2 - \epsilon\phi^2 g^2)$ (eq. 29); G solves
    the quartic of eq. 30.

    Args:
        energy: epsilon >= 0.
        ratio: phi > 0.
        scale: sigma > 0, the mean; a variance scale, so that critical energies go as its square.

    Raises:
        InputError: if an argument breaks its rule.

    Example:
        >>> round(hs.theory.relu_hessian(energy=0.1, ratio=0.25).mean(), 9)
        1.0
    """
    wishart = MarchenkoPastur(ratio=ratio, scale=scale)
    if _check.nonnegative("energy", energy) == 0:
        return wishart
    residual = relu_residual(energy, ratio)
    return FreeLevy.from_triple(wishart.triple + residual.triple)
