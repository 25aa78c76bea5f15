"""Laws of random matrices, their free sums, and the published predictions for Hessians."""

from hessium.theory.convolution.free_product import free_product
from hessium.theory.convolution.free_sum import free_sum
from hessium.theory.convolution.powers import free_compression, free_power
from hessium.theory.ensembles import goe, gue, haar, wishart
from hessium.theory.fluctuations.edge_scaling import SoftEdge, soft_edge
from hessium.theory.fluctuations.spacing import SpacingRatio
from hessium.theory.fluctuations.spikes import Outlier, outliers
from hessium.theory.fluctuations.tracy_widom import TracyWidom
from hessium.theory.hessians.energies import (
    critical_energy,
    gap_energy,
    minimiser_energy,
    ratio_for_critical_energy,
    wigner_energy,
)
from hessium.theory.hessians.hessian_laws import relu_hessian, relu_residual, wishart_wigner
from hessium.theory.hessians.indices import (
    energy_for_index,
    hessian_law,
    index,
    index_coefficient,
    small_index,
)
from hessium.theory.hessians.network_ensembles import (
    BlockHessian,
    product_wishart,
    spiked,
    two_layer_hessian,
)
from hessium.theory.hessians.network_rank import NetworkRank, linear_network_rank
from hessium.theory.hessians.sensitivity import Sensitivity, critical_energy_derivative, sensitivity
from hessium.theory.laws.arcsine import Arcsine
from hessium.theory.laws.cumulants import cumulants_from_moments, moments_from_cumulants
from hessium.theory.laws.empirical import Empirical
from hessium.theory.laws.law import Affine, Law, with_spectrum
from hessium.theory.laws.levy import FreeLevy, LevyLaw
from hessium.theory.laws.marchenko_pastur import MarchenkoPastur
from hessium.theory.laws.semicircle import Semicircle
from hessium.theory.laws.uniform import Uniform

__all__ = [
    "Affine",
    "Arcsine",
    "BlockHessian",
    "Empirical",
    "FreeLevy",
    "Law",
    "LevyLaw",
    "MarchenkoPastur",
    "NetworkRank",
    "Outlier",
    "Semicircle",
    "Sensitivity",
    "SoftEdge",
    "SpacingRatio",
    "TracyWidom",
    "Uniform",
    "critical_energy",
    "critical_energy_derivative",
    "cumulants_from_moments",
    "energy_for_index",
    "free_compression",
    "free_power",
    "free_product",
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
    "moments_from_cumulants",
    "outliers",
    "product_wishart",
    "ratio_for_critical_energy",
    "relu_hessian",
    "relu_residual",
    "sensitivity",
    "small_index",
    "soft_edge",
    "spiked",
    "two_layer_hessian",
    "wigner_energy",
    "wishart",
    "wishart_wigner",
    "with_spectrum",
]
