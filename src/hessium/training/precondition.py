"""Operators as an optimiser sees them."""

from __future__ import annotations

from typing import Any

from hessium.curvature.base import RiskOperator
from hessium.errors import InputError
from hessium.linalg.congruence import Congruence
from hessium.linalg.operator import Combination, SymmetricOperator
from hessium.training.quasi_newton import quasi_newton_root
from hessium.training.stability import preconditioner_of


def precondition(op: SymmetricOperator, optimizer: Any) -> SymmetricOperator:
    r"""$P^{-1/2} A P^{-1/2}$ with the preconditioner P of an optimiser, read from its state now.

    P is the identity for SGD; $(1 - \beta_1^t)(\sqrt{v / (1 - \beta_2^t)} + \epsilon)$ for Adam and
    AdamW (Cohen et al. 2022, arXiv:2207.14484); $\sqrt v + \epsilon$ for RMSprop; the root of the
    sum for Adagrad; $(M M^T)^{1/2} \otimes I$ for Muon, as if its iteration were exact. For L-BFGS
    $P^{-1}$ is its inverse Hessian (`hs.linalg.lbfgs_root`): eigenvalues near 1 are directions that
    it has learnt. Parameter groups are scaled so that the stability threshold of the first one
    holds for all. All estimators take the result. For other factors write `D @ op @ D` with
    `hs.linalg.Diagonal`.

    Args:
        op: an operator of a risk, or a sum of such.
        optimizer: SGD, Adam, AdamW, RMSprop, Adagrad, Muon or LBFGS of torch.optim, or `hess_inv`
            of `scipy.optimize.minimize(method="L-BFGS-B")`.

    Raises:
        InputError: if the operator has no risk, or the optimiser no state yet or no rule.

    Cost: that of the operator.

    Example:
        >>> adam = torch.optim.Adam(model.parameters())
        >>> loss(model(x), y).backward(); adam.step()
        >>> P = hs.precondition(hs.Hessian(risk.refreshed()), adam)
        >>> P.shape
        (13, 13)
    """
    risk = _risk_of(op)
    parameters = dict(risk.model.named_parameters())
    with risk.ranks.together("reading an optimiser"):
        root = quasi_newton_root(optimizer, risk.layout, parameters, risk.theta)
    if root is not None:
        return Congruence(root, op)
    with risk.ranks.together("reading an optimiser"):
        found = preconditioner_of(optimizer, risk.layout, parameters, risk.theta)
        if found is None:
            msg = "optimizer: no state yet; take a step first"
            raise InputError(msg)
    return op if found.factor is None else Congruence(found.factor, op)


def _risk_of(op: SymmetricOperator) -> Any:
    if isinstance(op, RiskOperator):
        return op.risk
    if isinstance(op, Combination):
        for _, term in op.terms:
            if isinstance(term, RiskOperator):
                return term.risk
    msg = f"op: {op!r}; an operator of a risk is required, or D @ op @ D with hs.linalg.Diagonal"
    raise InputError(msg)
