"""Operators of a risk: Hessian, Gauss-Newton, residual part, Fisher, Gram; linearisation."""

from hessium.curvature.gauss_newton import EmpiricalFisher as EmpiricalFisher
from hessium.curvature.gauss_newton import GaussNewton as GaussNewton
from hessium.curvature.gram import Gram as Gram
from hessium.curvature.hessian import Hessian as Hessian
from hessium.curvature.hessian import ResidualHessian as ResidualHessian
from hessium.curvature.jacobian_map import Jacobian as Jacobian
from hessium.curvature.linearization import Linearization as Linearization
from hessium.curvature.linearization import LinearizationError as LinearizationError
from hessium.curvature.linearization import LinearizationPath as LinearizationPath
