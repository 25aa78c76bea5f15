"""Everything about the curvature of one risk, on one page."""

from hessium.profiles.own_audit import Audit as Audit
from hessium.profiles.own_audit import audit as audit
from hessium.profiles.own_model import profile as profile
from hessium.profiles.plan import Plan as Plan
from hessium.profiles.profile_result import LayerProfile as LayerProfile
from hessium.profiles.profile_result import Profile as Profile
