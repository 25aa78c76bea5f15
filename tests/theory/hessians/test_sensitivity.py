"""Derivatives against central differences of the laws, and against each other."""

from typing import Any

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.theory import (
    critical_energy,
    critical_energy_derivative,
    hessian_law,
    index,
    sensitivity,
)

POINTS = [(0.3, 0.4), (0.01, 1.7), (1.0, 0.9)]


def difference(
    function: Any, parameter: Any, energy: Any, ratio: Any, model: Any, scale: Any
) -> Any:
    """Fourth-order central difference of function(law)."""
    base = {"energy": energy, "ratio": ratio, "scale": scale}
    step = 1e-3 * base[parameter]

    def at(k: Any) -> Any:
        moved = {**base, parameter: base[parameter] + k * step}
        return np.asarray(function(hessian_law(activation=model, **moved)))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


@pytest.mark.parametrize("model", ["linear", "relu"])
@pytest.mark.parametrize("parameter", ["energy", "ratio", "scale"])
@pytest.mark.parametrize(("energy", "ratio"), POINTS)
def test_derivatives_equal_differences(model: Any, parameter: Any, energy: Any, ratio: Any) -> None:
    result = sensitivity(parameter, energy, ratio, model, 1.5)
    intervals = result.law.support_intervals()
    x = np.concatenate([a + (b - a) * np.array([0.1, 0.4, 0.8]) for a, b in intervals])
    arguments = (parameter, energy, ratio, model, 1.5)
    pdf = difference(lambda law: law.pdf(x), *arguments)
    assert result.pdf(x) == pytest.approx(pdf, rel=1e-5, abs=1e-6)
    cdf = difference(lambda law: law.cdf(x), *arguments)
    assert result.cdf(x) == pytest.approx(cdf, rel=1e-7, abs=1e-9)
    edges = difference(lambda law: np.array(law.support_intervals()), *arguments)
    assert result.edges() == pytest.approx(edges, rel=1e-7, abs=1e-9)
    share = difference(lambda law: law.cdf(0.0), *arguments)
    assert result.index() == pytest.approx(float(share), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("parameter", ["energy", "ratio", "scale"])
def test_derivatives_at_an_atom(parameter: Any) -> None:
    """With two jumps each of rate 1/(2 ratio): the negative one counts, zeros do not."""
    energy, ratio, scale = 0.1, 4.0, 1.5
    result = sensitivity(parameter, energy, ratio, "relu", scale)
    by_ratio = parameter == "ratio"
    assert result.index() == pytest.approx(-0.5 / ratio**2 if by_ratio else 0.0, abs=1e-15)
    arguments = (parameter, energy, ratio, "relu", scale)
    share = difference(lambda law: law.cdf([0.0, -1e-6, 1e-6]), *arguments)
    assert result.cdf([0.0, -1e-6, 1e-6]) == pytest.approx(share, abs=1e-10)
    assert result.cdf(0.0) == pytest.approx(1.5 / ratio**2 if by_ratio else 0.0, abs=1e-15)


def test_gap_mass_moves_with_the_ratio_alone() -> None:
    law = sensitivity("ratio", 0.01, 2.0).law
    (_, a), (b, _) = law.support_intervals()
    # mass below the gap is 1 - 1/ratio
    assert sensitivity("ratio", 0.01, 2.0).cdf(0.5 * (a + b)) == pytest.approx(0.25)
    assert sensitivity("energy", 0.01, 2.0).cdf(0.5 * (a + b)) == pytest.approx(0, abs=1e-15)
    assert sensitivity("energy", 0.01, 2.0).cdf([-9.0, 99.0]).tolist() == [0, 0]


@pytest.mark.parametrize("model", ["linear", "relu"])
def test_critical_energy_derivatives(model: Any) -> None:
    for ratio in (0.1, 0.5, 0.9):
        h = 1e-4 * ratio
        values = critical_energy(ratio + h * np.array([1, -1, 2, -2]), model, 2.0)
        slope = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * h)
        exact = critical_energy_derivative("ratio", ratio, model, 2.0)
        assert exact == pytest.approx(slope, rel=1e-8)
        by_scale = critical_energy_derivative("scale", ratio, model, 2.0)
        assert by_scale == pytest.approx(float(critical_energy(ratio, model, 2.0)), rel=1e-14)


def test_index_derivative_is_zero_below_the_critical_energy() -> None:
    energy = 0.5 * float(critical_energy(0.25))
    assert sensitivity("energy", energy, 0.25).index() == 0
    assert float(index(energy, 0.25)) == 0


def test_refusals() -> None:
    with pytest.raises(InputError, match="parameter"):
        sensitivity("width", 0.1, 0.5)
    with pytest.raises(InputError, match="energy"):
        sensitivity("energy", 0.0, 0.5)
    with pytest.raises(InputError, match="ratio"):
        critical_energy_derivative("ratio", 1.5)
    with pytest.raises(InputError, match="parameter"):
        critical_energy_derivative("energy", 0.5)
