"""Rank formulas against dense Hessians of small linear networks, exact by complex steps."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.theory import linear_network_rank


def dense_curvature(widths: Any, x: Any, y: Any, bias: Any, loss: Any, seed: Any = 0) -> Any:
    """H and H0 of a deep linear network at random weights; complex steps are exact to rounding."""
    rng = np.random.default_rng(seed)
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    sizes = [a * b + (a if bias else 0) for a, b in shapes]
    theta = rng.standard_normal(sum(sizes))

    def layers(t: Any) -> Any:
        parts = []
        start = 0
        for (a, b), size in zip(shapes, sizes, strict=True):
            block = t[start : start + size]
            offset = block[a * b :, None] if bias else np.zeros((a, 1))
            parts.append((block[: a * b].reshape(a, b), offset))
            start += size
        return parts

    def forward(t: Any) -> Any:
        states = [x.astype(t.dtype)]
        for weight, offset in layers(t):
            states.append(weight @ states[-1] + offset)
        return states

    def residual(out: Any) -> Any:
        if loss == "squared-error":
            return out - y
        weights = np.exp(out - out.real.max(0))
        return weights / weights.sum(0) - y

    def pull_back(t: Any, error: Any) -> Any:
        states, parts, grads = forward(t), layers(t), []
        for k in range(len(parts) - 1, -1, -1):
            block = [(error @ states[k].T).ravel()]
            if bias:
                block.append(error.sum(1))
            grads.append(np.concatenate(block))
            error = parts[k][0].T @ error
        return np.concatenate(grads[::-1])

    steps = 1e-30j * np.eye(theta.size)
    gradient = [pull_back(theta + s, residual(forward(theta + s)[-1])).imag / 1e-30 for s in steps]
    hessian = np.array(gradient)
    jacobian = np.array([(forward(theta + s)[-1].imag / 1e-30).ravel() for s in steps])
    if loss == "squared-error":
        return hessian, jacobian @ jacobian.T
    p = residual(forward(theta)[-1]) + y
    m = x.shape[1]
    blocks = jacobian.reshape(theta.size, widths[-1], m)
    weighted = p * blocks - p * (p * blocks).sum(1, keepdims=True)
    return hessian, np.einsum("iks,jks->ij", blocks, weighted)


def ranks(widths: Any, r: Any, bias: Any = False, loss: Any = "squared-error") -> Any:
    rng = np.random.default_rng(1)
    m, k = 40, widths[-1]
    x = rng.standard_normal((widths[0], r)) @ rng.standard_normal((r, m))
    if bias:
        x -= x.mean(1, keepdims=True)
    y = rng.standard_normal((k, m))
    if loss == "cross-entropy":
        y = np.eye(k)[:, rng.integers(k, size=m)]
    hessian, first = dense_curvature(widths, x, y, bias, loss)

    def rank(a: Any) -> Any:
        values = np.abs(np.linalg.eigvalsh(0.5 * (a + a.T)))
        return int((values > 1e-10 * values.max()).sum())

    return rank(first), rank(hessian - first), rank(hessian)


@pytest.mark.parametrize(
    ("widths", "r"),
    [
        ((5, 6, 3), 5),
        ((5, 2, 3), 5),
        ((4, 4, 4, 4), 4),
        ((6, 5, 7, 3), 4),
        ((6, 2, 5, 3), 6),
        ((3, 4, 2, 5, 6), 2),
        ((5, 4, 4), 3),
    ],
)
def test_without_biases(widths: Any, r: Any) -> None:
    law = linear_network_rank(widths, r)
    assert ranks(widths, r) == (law.gauss_newton, law.residual, law.hessian)
    assert law.parameters == sum(a * b for a, b in pairwise(widths))


@pytest.mark.parametrize(("widths", "r"), [((5, 6, 3), 5), ((4, 5, 5, 3), 3)])
def test_cross_entropy_loses_one_output(widths: Any, r: Any) -> None:
    law = linear_network_rank(widths, r, loss="cross-entropy")
    assert ranks(widths, r, loss="cross-entropy") == (law.gauss_newton, law.residual, law.hessian)
    assert law != linear_network_rank(widths, r)


@pytest.mark.parametrize(("widths", "r"), [((5, 6, 3), 5), ((4, 5, 5, 3), 4), ((5, 4, 4), 2)])
def test_with_biases(widths: Any, r: Any) -> None:
    law = linear_network_rank(widths, r, bias=True)
    assert ranks(widths, r, bias=True) == (law.gauss_newton, law.residual, law.hessian)


def test_refusals() -> None:
    with pytest.raises(InputError, match="widths"):
        linear_network_rank((3, 4))
    with pytest.raises(InputError, match="widths"):
        linear_network_rank((3, 0, 4))
    with pytest.raises(InputError, match="num_samples_rank"):
        linear_network_rank((3, 4, 5), 4)
    with pytest.raises(InputError, match="loss"):
        linear_network_rank((3, 4, 5), loss="hinge")
    with pytest.raises(InputError, match="bottleneck"):
        linear_network_rank((5, 2, 7, 3), bias=True)
