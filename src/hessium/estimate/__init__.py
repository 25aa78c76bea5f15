"""Estimators: spectra, eigenpairs, counts, traces and spectral sums of an operator."""

from hessium.estimate.diagonal import diagonal as diagonal
from hessium.estimate.eigenpairs import Eigenpairs as Eigenpairs
from hessium.estimate.eigenpairs import eigenpairs as eigenpairs
from hessium.estimate.estimates import DiagonalEstimate as DiagonalEstimate
from hessium.estimate.estimates import Estimate as Estimate
from hessium.estimate.estimates import NormEstimate as NormEstimate
from hessium.estimate.estimates import SpectralSum as SpectralSum
from hessium.estimate.exact import rank_profile as rank_profile
from hessium.estimate.exact import spectrum as spectrum
from hessium.estimate.expected_memory import ExpectedMemory as ExpectedMemory
from hessium.estimate.expected_memory import expected_memory as expected_memory
from hessium.estimate.inertia import inertia as inertia
from hessium.estimate.inertia import rank as rank
from hessium.estimate.slq import spectral_measure as spectral_measure
from hessium.estimate.solve import Solution as Solution
from hessium.estimate.solve import solve as solve
from hessium.estimate.spectral_sums import effective_dimension as effective_dimension
from hessium.estimate.spectral_sums import log_determinant as log_determinant
from hessium.estimate.trace import frobenius_norm as frobenius_norm
from hessium.estimate.trace import trace as trace
