"""What the data determine: standard errors, predictions, the next measurement."""

from hessium.posterior.combinations import Combination as Combination
from hessium.posterior.design import Design as Design
from hessium.posterior.gauss_newton_posterior import GaussNewtonPosterior as GaussNewtonPosterior
from hessium.posterior.identifiability import Identifiability as Identifiability
from hessium.posterior.identifiability import ParameterAnswer as ParameterAnswer
from hessium.posterior.parameter_table import ParameterTable as ParameterTable
from hessium.posterior.profile_likelihood import ProfileLikelihood as ProfileLikelihood
from hessium.posterior.shares import ParameterShares as ParameterShares
from hessium.posterior.shares import by_parameter as by_parameter
from hessium.posterior.trust_radius import TrustRadius as TrustRadius
from hessium.posterior.trust_radius import trust_radius as trust_radius
from hessium.posterior.undetermined import OpenAnswer as OpenAnswer
from hessium.posterior.undetermined import Undetermined as Undetermined
