"""Conditions on the risk of an operator, checked before any computation."""

from __future__ import annotations

from typing import Any

from hessium.errors import InputError
from hessium.problem import EmpiricalRisk, SumRisk


def require_risk(risk: Any) -> None:
    """Check that `risk` is a risk whose model is in evaluation mode.

    Raises:
        InputError: if it is not, or its model has been put in training mode since.
    """
    if not isinstance(risk, EmpiricalRisk):
        msg = f"risk: {type(risk).__name__}; a hessium.EmpiricalRisk is required"
        raise InputError(msg)
    with risk.ranks.together("making an operator"):
        risk.require_evaluation_mode()


def require_outputs(risk: Any, what: str) -> None:
    """Check that the risk is a loss of outputs.

    Raises:
        InputError: if it is not, or is a closure.
    """
    require_risk(risk)
    if risk.spread is not None:
        msg = (
            f"risk: its parameters are spread over processes (fully_shard), where there is no "
            f"{what}; use hs.Hessian, or load the parameters into a plain module, and give "
            "process_group= for data on several processes"
        )
        raise InputError(msg)
    if isinstance(risk, SumRisk):
        for name, term in risk.terms.items():
            try:
                require_outputs(term, what)
            except InputError as error:
                msg = f"term {name!r}: {error}"
                raise InputError(msg) from error
    if not risk.has_outputs:
        msg = (
            f"risk: the loss is returned by a closure or by the model itself, so there are no "
            f"outputs and no {what}; return outputs or residuals from EmpiricalRisk(..., "
            "forward=...) with a loss such as SquaredError"
        )
        raise InputError(msg)
    if risk.survey.read_by_loss:
        msg = (
            f"loss: depends on the parameters {', '.join(risk.survey.read_by_loss[:3])} other than "
            f"through the outputs, so there is no {what}; use hs.Hessian, or move that part of the "
            "loss into the outputs (forward=)"
        )
        raise InputError(msg)
