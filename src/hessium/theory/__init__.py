"""Laws of random matrices, their free sums, and the published predictions for Hessians."""

from hessium.theory.affine import Affine
from hessium.theory.arcsine import Arcsine
from hessium.theory.critical_energy import (
    critical_energy,
    gap_energy,
    minimiser_energy,
    ratio_for_critical_energy,
)
from hessium.theory.empirical import Empirical
from hessium.theory.ensembles import goe, gue, haar, wishart
from hessium.theory.free_sum import free_sum
from hessium.theory.hessian_laws import relu_hessian, relu_residual, wishart_wigner
from hessium.theory.index import (
    energy_for_index,
    hessian_law,
    index,
    index_coefficient,
    small_index,
)
from hessium.theory.law import Law
from hessium.theory.levy import FreeLevy, LevyLaw
from hessium.theory.marchenko_pastur import MarchenkoPastur
from hessium.theory.network_rank import NetworkRank, linear_network_rank
from hessium.theory.semicircle import Semicircle
from hessium.theory.uniform import Uniform

__all__ = [
    "Affine",
    "Arcsine",
    "Empirical",
    "FreeLevy",
    "Law",
    "LevyLaw",
    "MarchenkoPastur",
    "NetworkRank",
    "Semicircle",
    "Uniform",
    "critical_energy",
    "energy_for_index",
    "free_sum",
    "gap_energy",
    "goe",
    "gue",
    "haar",
    "hessian_law",
    "index",
    "index_coefficient",
    "linear_network_rank",
    "minimiser_energy",
    "ratio_for_critical_energy",
    "relu_hessian",
    "relu_residual",
    "small_index",
    "wishart",
    "wishart_wigner",
]
