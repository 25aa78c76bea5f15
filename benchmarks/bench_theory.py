"""Laws against rmtool, which computes with bivariate polynomials."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import rmtool
import sympy

import hessium as hs
from race import note, once, race

FASTER, QUANTILES, GROWTH = 20.0, 50.0, 1.35


@pytest.mark.parametrize("kind", ["free_sum", "wishart_wigner"])
def bench_marchenko_pastur_plus_semicircle(kind: str) -> None:
    energy, ratio = 0.1, 0.25
    if kind == "free_sum":
        summands = (
            hs.theory.MarchenkoPastur(ratio=ratio),
            hs.theory.Semicircle(variance=2 * energy),
        )
        law = hs.theory.free_sum(*summands)
    else:
        law = hs.theory.wishart_wigner(energy, ratio)
    low, high = law.support()
    x = np.linspace(low + 0.01, high - 0.01, 1000)
    polynomial = rmtool.AplusB(
        rmtool.wishartpol(sympy.Rational(1, 4)),
        rmtool.scaleA(rmtool.wignerpol(), sympy.sqrt(sympy.Rational(1, 5))),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = rmtool.Lmz2pdf(polynomial, x)
    np.testing.assert_allclose(law.pdf(x), whole.density, atol=1e-12)
    ratios = race(
        f"1,000 density points of Marchenko-Pastur + semicircle, {kind}",
        {
            "hessium": lambda: law.pdf(x),
            "rmtool": lambda: rmtool.Lmz2pdf(polynomial, x),
            "its setup, one point": lambda: rmtool.Lmz2pdf(polynomial, x[:1]),
        },
        rounds=9,
    )
    after = ratios["rmtool"] - ratios["its setup, one point"]
    note(f"  rmtool after setup {after:.1f}x (goal: {FASTER:.0f}x)")


@pytest.mark.parametrize("kind", ["wishart_wigner", "relu_hessian", "free_sum"])
def bench_quantiles(kind: str) -> None:
    laws = {
        "wishart_wigner": hs.theory.wishart_wigner(0.1, 0.25),
        "relu_hessian": hs.theory.relu_hessian(0.7, 0.25),
        "free_sum": hs.theory.free_sum(
            hs.theory.Uniform(0.0, 1.0), hs.theory.Empirical(np.arange(20) / 10)
        ),
    }
    law = laws[kind]
    levels = (np.arange(1000) + 0.5) / 1000
    x = law.ppf(levels)
    np.testing.assert_allclose(law.cdf(x), levels, atol=1e-10)
    cost = race(
        f"1,000 cdf of {kind}",
        {"hessium cdf": lambda: law.cdf(x), "ppf": lambda: law.ppf(levels)},
    )
    note(f"  goal: 1,000 ppf under {QUANTILES:.0f}x")
    assert cost["ppf"] < QUANTILES


def bench_cost_in_atoms() -> None:
    """Doubling the atoms doubles the time: the exponent is at most 1 but for noise."""
    once()
    counts = (100, 200, 400, 800)
    noise = hs.theory.MarchenkoPastur(ratio=0.5)
    rng = np.random.default_rng(0)
    best = {}
    for count in counts:
        law = hs.theory.free_sum(hs.theory.Empirical(rng.standard_normal(count)), noise)
        x = np.linspace(*law.support(), 300)
        law.pdf(x)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            law.pdf(x)
            times.append(time.perf_counter() - start)
        best[count] = min(times)
    exponent = float(np.polyfit(np.log(counts), np.log(list(best.values())), 1)[0])
    shown = ", ".join(f"{count}: {1e3 * seconds:.1f} ms" for count, seconds in best.items())
    note(f"300 density points of n atoms + Marchenko-Pastur: {shown}; exponent {exponent:.2f}")
    assert exponent < GROWTH
