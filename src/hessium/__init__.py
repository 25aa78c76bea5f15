"""Exact and certified Hessian spectra of neural-network losses, beside random matrix theory."""

from hessium.curvature import EmpiricalFisher as EmpiricalFisher
from hessium.curvature import GaussNewton as GaussNewton
from hessium.curvature import Gram as Gram
from hessium.curvature import Hessian as Hessian
from hessium.curvature import ResidualHessian as ResidualHessian
from hessium.measure import DiscreteMeasure as DiscreteMeasure
from hessium.problem import EmpiricalRisk as EmpiricalRisk
from hessium.problem import SquaredError as SquaredError
