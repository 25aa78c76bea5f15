"""Comparison of measured spectra, ranks and level spacings with theory."""

from hessium.compare._spectrum import nonzero
from hessium.compare.assumptions import Assumptions, Prediction, assumptions
from hessium.compare.checks import Check
from hessium.compare.cumulants import Cumulants, cumulants
from hessium.compare.curvature import Curvature
from hessium.compare.distance import Distance, distance
from hessium.compare.families import FAMILIES, Family
from hessium.compare.fit import Fit, fit
from hessium.compare.freeness import Freeness, freeness
from hessium.compare.levels import LevelStatistics, levels
from hessium.compare.mixed_moments import MixedMoment, mixed_moments
from hessium.compare.normality import Normality, normality
from hessium.compare.outliers import Detached, Outliers, outliers
from hessium.compare.ranks import Ranks, ranks
from hessium.compare.settled import FittedParameter
from hessium.compare.symmetry import NullSpace, Symmetries, symmetries
from hessium.compare.terms import TermCurvature, terms
from hessium.compare.two_spectra import SpectraDistance

__all__ = [
    "FAMILIES",
    "Assumptions",
    "Check",
    "Cumulants",
    "Curvature",
    "Detached",
    "Distance",
    "Family",
    "Fit",
    "FittedParameter",
    "Freeness",
    "LevelStatistics",
    "MixedMoment",
    "Normality",
    "NullSpace",
    "Outliers",
    "Prediction",
    "Ranks",
    "SpectraDistance",
    "Symmetries",
    "TermCurvature",
    "assumptions",
    "cumulants",
    "distance",
    "fit",
    "freeness",
    "levels",
    "mixed_moments",
    "nonzero",
    "normality",
    "outliers",
    "ranks",
    "symmetries",
    "terms",
]
