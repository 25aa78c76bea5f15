"""Exact and certified Hessian spectra of neural-network losses, beside random matrix theory."""

from hessium import theory as theory
from hessium.curvature import EmpiricalFisher as EmpiricalFisher
from hessium.curvature import GaussNewton as GaussNewton
from hessium.curvature import Gram as Gram
from hessium.curvature import Hessian as Hessian
from hessium.curvature import Linearization as Linearization
from hessium.curvature import ResidualHessian as ResidualHessian
from hessium.estimate import Count as Count
from hessium.estimate import DiagonalEstimate as DiagonalEstimate
from hessium.estimate import Estimate as Estimate
from hessium.estimate import Inertia as Inertia
from hessium.estimate import NormEstimate as NormEstimate
from hessium.estimate import RankProfile as RankProfile
from hessium.estimate import SpectralSum as SpectralSum
from hessium.estimate import diagonal as diagonal
from hessium.estimate import effective_dimension as effective_dimension
from hessium.estimate import frobenius_norm as frobenius_norm
from hessium.estimate import inertia as inertia
from hessium.estimate import log_determinant as log_determinant
from hessium.estimate import rank as rank
from hessium.estimate import rank_profile as rank_profile
from hessium.estimate import spectrum as spectrum
from hessium.estimate import trace as trace
from hessium.measure import DiscreteMeasure as DiscreteMeasure
from hessium.problem import EmpiricalRisk as EmpiricalRisk
from hessium.problem import SquaredError as SquaredError
