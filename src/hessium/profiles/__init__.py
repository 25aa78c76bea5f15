"""One risk on one page: its curvature, theory beside it, what its data determine; checkpoints."""

from hessium.profiles.audit_result import Audit as Audit
from hessium.profiles.audit_result import audit as audit
from hessium.profiles.checkpoint_series import CheckpointSeries as CheckpointSeries
from hessium.profiles.identification import Identification as Identification
from hessium.profiles.identification import identify as identify
from hessium.profiles.matrix_profile import LayerProfile as LayerProfile
from hessium.profiles.matrix_profile import MatrixProfile as MatrixProfile
from hessium.profiles.measurement import profile as profile
from hessium.profiles.plan import Plan as Plan
from hessium.profiles.profile_result import Profile as Profile
from hessium.profiles.series_measurement import track as track
