"""From an operator to a result that knows its error."""

from hessium.estimate.exact import inertia as inertia
from hessium.estimate.exact import rank as rank
from hessium.estimate.exact import rank_profile as rank_profile
from hessium.estimate.exact import spectrum as spectrum
from hessium.estimate.results import Count as Count
from hessium.estimate.results import Inertia as Inertia
from hessium.estimate.results import RankProfile as RankProfile
