"""Exact and certified Hessian spectra of neural-network losses, beside random matrix theory."""

from hessium import theory as theory
from hessium.curvature import EmpiricalFisher as EmpiricalFisher
from hessium.curvature import GaussNewton as GaussNewton
from hessium.curvature import Gram as Gram
from hessium.curvature import Hessian as Hessian
from hessium.curvature import Linearization as Linearization
from hessium.curvature import ResidualHessian as ResidualHessian
from hessium.estimate import Count as Count
from hessium.estimate import Inertia as Inertia
from hessium.estimate import RankProfile as RankProfile
from hessium.estimate import inertia as inertia
from hessium.estimate import rank as rank
from hessium.estimate import rank_profile as rank_profile
from hessium.estimate import spectrum as spectrum
from hessium.experiments.sweep_frame import load_sweep as load_sweep
from hessium.landscape import Certificate as Certificate
from hessium.landscape import CriticalPoint as CriticalPoint
from hessium.landscape import find_critical_point as find_critical_point
from hessium.measure import DiscreteMeasure as DiscreteMeasure
from hessium.problem import EmpiricalRisk as EmpiricalRisk
from hessium.problem import SquaredError as SquaredError
