from typing import Any

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.theory import (
    MarchenkoPastur,
    Semicircle,
    goe,
    gue,
    haar,
    product_wishart,
    relu_residual,
    two_layer_hessian,
    wishart,
)


def distance(law: Any, matrix: Any) -> Any:
    values = np.linalg.eigvalsh(matrix)
    return float(np.abs((np.arange(values.size) + 0.5) / values.size - law.cdf(values)).max())


def test_ensembles_have_their_laws() -> None:
    # rigidity: distances are O(log n / n); 0.02 at n = 300 has no false alarms
    n, v = 300, 0.6
    assert distance(Semicircle(variance=v), goe(n, v, rng=0)) < 0.02
    assert distance(Semicircle(variance=v), gue(n, v, rng=0)) < 0.02
    assert distance(MarchenkoPastur(ratio=0.5, scale=2), wishart(n, 600, 2.0, rng=0)) < 0.02
    assert distance(relu_residual(0.5, 0.5), product_wishart(300, 1200, 0.5, rng=0)) < 0.02


def test_wrong_laws_are_seen() -> None:
    # the same bound must tell a tenth of the variance or the ratio, and the printed scalings
    n, v = 300, 0.6
    assert distance(Semicircle(variance=1.2 * v), goe(n, v, rng=0)) > 0.02
    assert distance(Semicircle(variance=1.2 * v), gue(n, v, rng=0)) > 0.02
    assert distance(MarchenkoPastur(ratio=0.4, scale=2), wishart(n, 600, 2.0, rng=0)) > 0.02
    # entries N(0, scale^2/p), as printed, are the law of scale^2
    assert distance(MarchenkoPastur(ratio=0.5, scale=2), wishart(n, 600, 4.0, rng=0)) > 0.02
    # entries N(0, v), as printed, have an edge that grows with n
    assert distance(Semicircle(variance=v), np.sqrt(n) * goe(n, v, rng=0)) > 0.02
    assert distance(relu_residual(0.7, 0.5), product_wishart(300, 1200, 0.5, rng=0)) > 0.02
    # m samples where only m / 2 have an active unit: the law without the gate
    assert distance(relu_residual(0.5, 0.25), product_wishart(300, 1200, 0.5, rng=0)) > 0.02


def test_entries_follow_the_stated_normalisation() -> None:
    n, v = 500, 0.6
    h = goe(n, v, rng=1)
    upper = h[np.triu_indices(n, 1)]
    assert n * upper.var() == pytest.approx(v, rel=0.02)
    # a sample variance of 500 has relative standard error 0.063: 0.3 is 4.7 of them, 2e-6
    assert n * np.diag(h).var() == pytest.approx(2 * v, rel=0.3)
    assert n * np.diag(h).var() != pytest.approx(v, rel=0.3)
    u = gue(n, v, rng=1)
    assert u == pytest.approx(u.conj().T)
    assert n * np.abs(u[np.triu_indices(n, 1)] ** 2).mean() == pytest.approx(v, rel=0.02)


def test_haar_is_orthogonal_and_uniform() -> None:
    q = haar(50, rng=0)
    assert q @ q.T == pytest.approx(np.eye(50), abs=1e-12)
    traces = [np.trace(haar(6, rng=r)) for r in np.random.default_rng(0).spawn(400)]
    # trace of a Haar rotation: mean 0, variance 1; without the signs of R the mean is far off
    assert np.mean(traces) == pytest.approx(0, abs=0.2)  # 4 standard errors
    assert np.var(traces) == pytest.approx(1, abs=0.3)
    naive = [
        np.trace(np.linalg.qr(r.standard_normal((6, 6)))[0])
        for r in np.random.default_rng(0).spawn(400)
    ]
    assert abs(np.mean(naive)) > 0.2


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_two_layer_blocks_equal_the_second_derivative(activation: Any) -> None:
    n, m = 3, 5
    blocks = two_layer_hessian(n, m, 0.7, activation, rng=0)
    source = np.random.default_rng(0)
    weights = source.standard_normal((2, n, n)) / np.sqrt(n)
    x, errors = source.standard_normal((2, n, m))
    errors = np.sqrt(1.4) * errors
    theta = weights.ravel()

    def outputs(t: Any) -> Any:
        first, second = t[: n * n].reshape(n, n), t[n * n :].reshape(n, n)
        z = first @ x
        return second @ (z * (z.real > 0) if activation == "relu" else z)

    targets = outputs(theta) - errors

    def gradient(t: Any) -> Any:
        first, second = t[: n * n].reshape(n, n), t[n * n :].reshape(n, n)
        z = first @ x
        gate = (z.real > 0) if activation == "relu" else np.ones(z.shape)
        e = outputs(t) - targets
        return (
            np.concatenate([((gate * (second.T @ e)) @ x.T).ravel(), (e @ (gate * z).T).ravel()])
            / m
        )

    steps = 1e-30j * np.eye(theta.size)
    hessian = np.array([gradient(theta + s).imag / 1e-30 for s in steps])
    assert blocks.hessian == pytest.approx(hessian, abs=1e-12)
    jacobian = np.array([(outputs(theta + s).imag / 1e-30).ravel() for s in steps])
    assert blocks.gauss_newton == pytest.approx(jacobian @ jacobian.T / m, abs=1e-12)


def test_residual_part_of_a_relu_network() -> None:
    n, m, energy = 12, 48, 2.0
    ratio = 2 * n / m
    variances, nulls = [], []
    for rng in np.random.default_rng(0).spawn(4):
        blocks = two_layer_hessian(n, m, energy, "relu", rng)
        variances.append(np.trace(blocks.residual @ blocks.residual) / (2 * n * n))
        values = np.linalg.eigvalsh(blocks.gauss_newton)
        nulls.append(int((values < 1e-12 * values[-1]).sum()))
    assert np.mean(variances) == pytest.approx(energy * ratio / 2, rel=0.1)
    assert np.mean(variances) != pytest.approx(energy * ratio, rel=0.1)  # without the gate
    assert nulls == [n] * 4  # one rescaling symmetry for each hidden unit
    linear = np.linalg.eigvalsh(two_layer_hessian(5, 40, energy, "linear", 0).gauss_newton)
    assert (linear < 1e-12 * linear[-1]).sum() == 25  # GL(n) acts on the hidden layer


def test_rank_is_at_most_the_number_of_samples_for_the_gauss_newton_part_only() -> None:
    # the page on network Hessians states it for H; true for H0 with samples times outputs
    n, m = 5, 2
    blocks = two_layer_hessian(n, m, 0.5, "relu", rng=0)

    def rank(matrix: Any) -> int:
        values = np.abs(np.linalg.eigvalsh(matrix))
        return int((values > 1e-10 * values.max()).sum())

    assert rank(blocks.gauss_newton) <= n * m
    assert rank(blocks.hessian) > n * m
    at_zero_residual = two_layer_hessian(n, m, 0.0, "relu", rng=0)
    assert rank(at_zero_residual.hessian) <= n * m


def test_seeds_repeat_and_bad_sizes_are_refused() -> None:
    assert (goe(4, rng=5) == goe(4, rng=5)).all()
    for call in (goe, gue, haar):
        with pytest.raises(InputError, match="n: 0"):
            call(0)
    with pytest.raises(InputError, match="samples"):
        wishart(3, 0)
    with pytest.raises(InputError, match="activation"):
        two_layer_hessian(2, 3, 0.1, "tanh")
