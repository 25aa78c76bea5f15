"""From an operator to a result that knows its error."""

from hessium.estimate.counting import inertia as inertia
from hessium.estimate.counting import rank as rank
from hessium.estimate.diagonal import diagonal as diagonal
from hessium.estimate.eigenpairs import Eigenpairs as Eigenpairs
from hessium.estimate.eigenpairs import eigenpairs as eigenpairs
from hessium.estimate.exact import rank_profile as rank_profile
from hessium.estimate.exact import spectrum as spectrum
from hessium.estimate.functions import SpectralSum as SpectralSum
from hessium.estimate.functions import effective_dimension as effective_dimension
from hessium.estimate.functions import log_determinant as log_determinant
from hessium.estimate.sampled import DiagonalEstimate as DiagonalEstimate
from hessium.estimate.sampled import Estimate as Estimate
from hessium.estimate.sampled import NormEstimate as NormEstimate
from hessium.estimate.sampling import spectral_measure as spectral_measure
from hessium.estimate.trace import frobenius_norm as frobenius_norm
from hessium.estimate.trace import trace as trace
