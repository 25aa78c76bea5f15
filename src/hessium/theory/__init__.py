"""Laws of random matrices, their free sums, and the published predictions for Hessians."""

from hessium.theory.hessian_laws import relu_hessian, relu_residual, wishart_wigner
from hessium.theory.law import Law
from hessium.theory.levy import FreeLevy, LevyLaw
from hessium.theory.marchenko_pastur import MarchenkoPastur
from hessium.theory.semicircle import Semicircle

__all__ = [
    "FreeLevy",
    "Law",
    "LevyLaw",
    "MarchenkoPastur",
    "Semicircle",
    "relu_hessian",
    "relu_residual",
    "wishart_wigner",
]
