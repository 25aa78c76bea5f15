"""Laws of random matrices, their free sums, and the published predictions for Hessians."""

from hessium.theory.affine import Affine
from hessium.theory.arcsine import Arcsine
from hessium.theory.empirical import Empirical
from hessium.theory.ensembles import goe, gue, haar, wishart
from hessium.theory.free_sum import free_sum
from hessium.theory.hessian_laws import relu_hessian, relu_residual, wishart_wigner
from hessium.theory.law import Law
from hessium.theory.levy import FreeLevy, LevyLaw
from hessium.theory.marchenko_pastur import MarchenkoPastur
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
    "Semicircle",
    "Uniform",
    "free_sum",
    "goe",
    "gue",
    "haar",
    "relu_hessian",
    "relu_residual",
    "wishart",
    "wishart_wigner",
]
