"""Every argument of every public function of the theory, with values of a wrong kind."""

from typing import Any

import pytest

WALK = """
import inspect, warnings
import numpy as np
from hessium import Spectrum, theory as t
from hessium.errors import InputError

warnings.simplefilter("error")
NAN, INF = float("nan"), float("inf")
NO_NUMBER = ["a", None, True, NAN, INF, 1j, [1.0, 2.0], [[1.0], [1.0, 2.0]], object(), 10**400]
NO_COUNT = ["a", None, True, NAN, 1.5, -1, 1j, [1, 2]]
NO_ARRAY = ["a", None, True, [True, False], [[1.0], [1.0, 2.0]], ["a"], object(), NAN, [0.5, NAN]]
NO_REALS = [*NO_ARRAY, 1j]
NO_LAW = ["a", None, 1.0, t.Law, [1.0]]
NO_RNG = ["a", 1.5, -1, True]
NO_NAME = ["a", None, 1, ["linear"], {}]
NO_SIZE = ["a", None, 1.5, -1, (2, -1), (2, "a"), True]
kinds = {
    "number": NO_NUMBER, "count": NO_COUNT, "array": NO_ARRAY, "reals": NO_REALS, "law": NO_LAW,
    "rng": NO_RNG, "name": NO_NAME, "size": NO_SIZE,
    "spectrum": [*NO_REALS, INF, []], "weights": [[0.5], [0.5, -0.5], ["a", "b"], [NAN, 1.0], "a"],
    "numbers": [1.0, None, "a", ("a",), (None,), (NAN,), (1j,), (0.0,)],
    "widths": [3, None, "abc", (3, 4), (3, "a", 2), (3, 0, 2)],
    "flag": ["a", None, 1], "optional count": ["a", True, 1.5, -1, 99],
    "symmetric": ["a", None, 1.0, [1.0, 2.0], [[1.0, 2.0]], [[1.0], [1.0, 2.0]], [[NAN]]],
    "rows": [[1.0, 2.0], "a", None, True, NAN, 1j],
}
law = t.Semicircle(variance=1.0)
model = dict(energy="number", ratio="number", activation="name", scale="number")
start = dict(energy=0.1, ratio=0.5, activation="linear", scale=1.0)
makers = [
    (t.Semicircle, dict(variance=1.0), dict(variance="number")),
    (t.MarchenkoPastur, dict(ratio=0.5, scale=1.0), dict(ratio="number", scale="number")),
    (t.Uniform, dict(low=0.0, high=1.0), dict(low="number", high="number")),
    (t.Arcsine, dict(radius=1.0), dict(radius="number")),
    (t.FreeLevy, dict(drift=0.0, variance=1.0, rates=(1.0,), jumps=(1.0,)),
     dict(drift="number", variance="number", rates="numbers", jumps="numbers")),
    (t.Empirical, dict(eigenvalues=[1.0, 2.0], weights=[0.5, 0.5]),
     dict(eigenvalues="spectrum", weights="weights")),
    (t.free_power, dict(law=law, exponent=2.0), dict(law="law", exponent="number")),
    (t.free_compression, dict(law=law, share=0.5), dict(law="law", share="number")),
    (t.free_product, dict(first=t.Uniform(0.0, 1.0), second=t.Uniform(0.0, 2.0)),
     dict(first="law", second="law")),
    (t.wishart_wigner, dict(energy=0.1, ratio=0.5, scale=1.0),
     dict(energy="number", ratio="number", scale="number")),
    (t.relu_residual, dict(energy=0.1, ratio=0.5), dict(energy="number", ratio="number")),
    (t.relu_hessian, dict(energy=0.1, ratio=0.5, scale=1.0),
     dict(energy="number", ratio="number", scale="number")),
    (t.hessian_law, start, model),
    (t.index, start, model | dict(energy="reals", ratio="reals")),
    (t.small_index, start, model | dict(energy="reals", ratio="reals")),
    (t.index_coefficient, dict(ratio=0.5, activation="linear"),
     dict(ratio="reals", activation="name")),
    (t.energy_for_index, dict(index_value=0.1, ratio=0.5, activation="linear", scale=1.0),
     dict(index_value="number", ratio="number", activation="name", scale="number")),
    (t.critical_energy, dict(ratio=0.5, activation="linear", scale=1.0),
     dict(ratio="reals", activation="name", scale="number")),
    (t.gap_energy, dict(ratio=2.0, scale=1.0), dict(ratio="reals", scale="number")),
    (t.ratio_for_critical_energy, dict(energy=0.05, activation="linear", scale=1.0),
     dict(energy="number", activation="name", scale="number")),
    (t.minimiser_energy, dict(ratio=0.5, model="linear"), dict(ratio="reals", model="name")),
    (t.critical_energy_derivative,
     dict(parameter="ratio", ratio=0.5, activation="linear", scale=1.0),
     dict(parameter="name", ratio="number", activation="name", scale="number")),
    (t.sensitivity, dict(parameter="ratio") | start, dict(parameter="name") | model),
    (t.outliers, dict(spikes=[3.0], noise=law, base=t.Uniform(0.0, 1.0)),
     dict(spikes="spectrum", noise="law")),
    (t.soft_edge, dict(law=law, n=9, side="right", interval=0, beta=1),
     dict(law="law", n="count", side="name", interval="optional count", beta="numbers")),
    (t.TracyWidom, dict(beta=1), dict(beta="widths")),
    (t.SpacingRatio, dict(ensemble="goe"), dict(ensemble="name")),
    (t.goe, dict(n=3, variance=1.0, rng=0), dict(n="count", variance="number", rng="rng")),
    (t.gue, dict(n=3, variance=1.0, rng=0), dict(n="count", variance="number", rng="rng")),
    (t.wishart, dict(n=3, samples=4, scale=1.0, rng=0),
     dict(n="count", samples="count", scale="number", rng="rng")),
    (t.haar, dict(n=3, rng=0), dict(n="count", rng="rng")),
    (t.with_spectrum, dict(law=law, n=3, rng=0), dict(law="law", n="count", rng="rng")),
    (t.two_layer_hessian, dict(n=3, samples=4, energy=0.1, activation="relu", rng=0),
     dict(n="count", samples="count", energy="number", activation="name", rng="rng")),
    (t.product_wishart, dict(n=3, samples=4, energy=0.1, rng=0),
     dict(n="count", samples="count", energy="number", rng="rng")),
    (t.spiked, dict(matrix=np.eye(3), spikes=[2.0], rng=0),
     dict(matrix="symmetric", spikes="spectrum", rng="rng")),
    (t.linear_network_rank, dict(widths=(3, 4, 2), num_samples_rank=2, loss="squared-error"),
     dict(widths="widths", num_samples_rank="optional count", loss="name")),
    (t.cumulants_from_moments, dict(moments=[0.0, 1.0]), dict(moments="reals")),
    (t.moments_from_cumulants, dict(cumulants=[0.0, 1.0]), dict(cumulants="reals")),
]
laws = [
    law, t.MarchenkoPastur(ratio=2.0), t.Uniform(0.5, 1.0), t.Arcsine(), t.Empirical([1.0, 2.0]),
    t.Uniform(0.5, 1.0).shifted(1.0), t.free_power(t.Uniform(0.5, 1.0), 2.0),
    t.free_product(t.Uniform(0.5, 1.0), t.Uniform(0.5, 1.0)),
    t.free_sum(t.Empirical([0.0, 1.0]), t.Empirical([0.0, 2.0])),
    t.free_sum(t.Empirical([0.0, 1.0]), law), t.free_sum(t.Uniform(0.0, 1.0), t.Uniform(0.0, 1.0)),
]
methods = {
    "pdf": dict(x="reals"), "cdf": dict(x="reals"), "sf": dict(x="reals"), "ppf": dict(q="reals"),
    "isf": dict(q="reals"), "interval": dict(confidence="number"), "moment": dict(order="count"),
    "free_cumulant": dict(order="count"), "free_cumulants": dict(count="count"),
    "stieltjes": dict(z="array"), "log_potential": dict(z="array"),
    "residual": dict(z="array"), "subordination": dict(z="array"), "r_transform": dict(g="array"),
    "s_transform": dict(y="array"),
    "shifted": dict(by="number"), "scaled": dict(by="number"), "matrix": dict(n="count", rng="rng"),
    "rvs": dict(size="size", rng="rng"),
}
fine = dict(x=0.5, q=0.5, confidence=0.9, order=2, count=2, z=5j, g=0.01, y=0.01, by=2.0, n=3,
            rng=0, size=2)
for one in laws:
    for name, wants in methods.items():
        if hasattr(one, name):
            makers.append((getattr(one, name), {k: fine[k] for k in wants}, wants))
    makers.append((one.mass, dict(a=0.0, b=1.0), dict(a="rows", b="rows")))
edge = t.soft_edge(law, 9)
measure = Spectrum.of([1.0, 2.0])
for name, wants in (("moment", dict(order="count")), ("cdf", dict(x="reals")),
                    ("quantile", dict(q="reals"))):
    makers.append((getattr(measure, name), {k: fine[k] for k in wants}, wants))
for part, names in ((edge, "x:cdf q:ppf"), (t.TracyWidom(), "s:cdf s:sf s:pdf q:ppf q:isf"),
                    (t.SpacingRatio(), "r:pdf r:cdf"),
                    (t.sensitivity("ratio", 0.1, 0.5), "x:pdf x:cdf")):
    for pair in names.split():
        argument, name = pair.split(":")
        makers.append((getattr(part, name), {argument: 0.5}, {argument: "reals"}))

asked = 0
bad = []
for function, good, wants in makers:
    if "s_transform" not in repr(function):  # undefined where the mean is zero
        function(**good)
    for name, kind in wants.items():
        for value in kinds[kind]:
            asked += 1
            label = f"{getattr(function, '__qualname__', function)}({name}={value!r:.40})"
            try:
                function(**(good | {name: value}))
            except InputError as error:
                if "\\n" in str(error):
                    bad.append(f"{label}: two lines")
            except Exception as error:
                bad.append(f"{label}: {type(error).__name__} {error}"[:200])
            else:
                bad.append(f"{label}: accepted")
for value in NO_LAW:
    try:
        t.free_sum(law, value)
    except InputError:
        asked += 1
"""


@pytest.mark.unchecked
def test_arguments_of_a_wrong_kind_are_refused_in_one_sentence() -> None:
    names: dict[str, Any] = {}
    exec(WALK, names)
    assert names["bad"] == []
    assert names["asked"] > 1000
