"""Eigenvalue distributions, exact and estimated, with rigorous bounds on counts."""

from hessium.spectra.bands import Band as Band
from hessium.spectra.bands import Integral as Integral
from hessium.spectra.brackets import Bracket as Bracket
from hessium.spectra.counts import Count as Count
from hessium.spectra.gauss_rule import GaussRule as GaussRule
from hessium.spectra.inertia import Inertia as Inertia
from hessium.spectra.inertia import RankProfile as RankProfile
from hessium.spectra.measure import DiscreteMeasure as DiscreteMeasure
from hessium.spectra.measure import Measure as Measure
from hessium.spectra.spectrum import Spectrum as Spectrum
