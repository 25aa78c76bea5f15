"""The memory of an estimator, before it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hessium import _arguments
from hessium.errors import InputError
from hessium.estimate.basis_size import pairs_bytes, probe_bytes
from hessium.estimate.eigenpairs import eigenpairs, tolerance_of
from hessium.estimate.slq import MOST_PROBES, MOST_STEPS, check_request, spectral_measure
from hessium.linalg.adapt import as_operator
from hessium.linalg.operator import SymmetricOperator


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ExpectedMemory:
    """Memory of a call in bytes, in one process.

    Attributes:
        basis: Krylov bases and the vectors beside them, once the bases are full.
        products: cached graphs of the loss, and a product in progress.

    Example:
        >>> needed = hs.expected_memory(hs.eigenpairs, H, 3)
        >>> needed.total == needed.basis + needed.products
        True
    """

    basis: int
    products: int

    @property
    def total(self) -> int:
        """Of both; model and data, which exist already, come on top."""
        return self.basis + self.products

    def __repr__(self) -> str:
        parts = f"basis {_size(self.basis)}, products {_size(self.products)}"
        return f"ExpectedMemory({_size(self.total)}: {parts})"


def expected_memory(
    estimator: Callable[..., Any], op: Any, *args: Any, **options: Any
) -> ExpectedMemory:
    """The memory that a call of an estimator would take at most, before it.

    The basis counts as full: a call that converges earlier takes less. Memory is that of tensors on
    the device of the operator, beyond model, data and library.

    Args:
        estimator: `hs.eigenpairs` or `hs.spectral_measure`.
        op: an operator or a symmetric tensor, as for the estimator.
        args: further arguments of the estimator.
        options: its keyword arguments.

    Raises:
        InputError: for another estimator, for arguments that it refuses, or if the memory exceeds
            `max_bytes`.

    Cost: a few products, by which the operator chooses its route, as in the estimator.

    Example:
        >>> hs.expected_memory(hs.spectral_measure, H, probes=1, steps=8).basis
        1352
    """
    if estimator not in _EXPECTED:
        msg = f"estimator: {estimator!r}; hs.eigenpairs or hs.spectral_measure is required"
        raise InputError(msg)
    try:
        call = inspect.signature(estimator).bind(op, *args, **options)
    except TypeError as error:
        msg = f"arguments: {error}; those of hs.{estimator.__name__} are required"
        raise InputError(msg) from error
    call.apply_defaults()
    operator = as_operator(op)
    given = {**call.arguments, "op": operator}
    given["max_bytes"] = _arguments.memory("max_bytes", given["max_bytes"])
    return _EXPECTED[estimator](given)


def _of_eigenpairs(given: dict[str, Any]) -> ExpectedMemory:
    operator: SymmetricOperator = given["op"]
    k, block, most = given["k"], given["block"], given["max_products"]
    tolerance_of(operator, k, given["which"], given["tol"], block, 1 if most is None else most)
    limit = max(1000, 50 * k) if most is None else most
    basis = pairs_bytes(operator, k, block, given["max_bytes"], gather=given["gather"])
    prepared = operator.prepare(limit // 10, block)
    return ExpectedMemory(basis=basis, products=prepared.product_bytes)


def _of_measure(given: dict[str, Any]) -> ExpectedMemory:
    operator: SymmetricOperator = given["op"]
    probes, steps, known = given["probes"], given["steps"], given["deflate"]
    limit, adaptive = given["max_bytes"], given["until"] is not None
    computed = isinstance(known, int)
    deflated = min(known, operator.shape[0]) if computed else len(known)
    check_request(operator, probes, steps, deflated, limit)
    if adaptive:
        probes, steps = MOST_PROBES, MOST_STEPS * steps
    prepared = operator.prepare(given["probes"] * given["steps"], given["probes"])
    together = min(probes, prepared.preferred_columns)
    basis = min(limit, probe_bytes(operator, together, steps, deflated))
    if computed and deflated:
        basis = max(basis, pairs_bytes(operator, deflated, 1, limit, gather=False))
    return ExpectedMemory(basis=basis, products=prepared.product_bytes)


_EXPECTED: dict[Callable[..., Any], Callable[[dict[str, Any]], ExpectedMemory]] = {
    eigenpairs: _of_eigenpairs,
    spectral_measure: _of_measure,
}


def _size(count: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
