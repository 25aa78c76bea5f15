"""Empirical risks: a module, a loss and data as a function of one flat vector."""

from hessium.problem.losses import Loss as Loss
from hessium.problem.losses import SquaredError as SquaredError
from hessium.problem.risk import EmpiricalRisk as EmpiricalRisk
from hessium.problem.sum_risk import SumRisk as SumRisk
