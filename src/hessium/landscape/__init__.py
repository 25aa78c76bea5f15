"""Critical points with certificates; slices, paths and barriers of a loss."""

from hessium.landscape.continuation import continue_ridge as continue_ridge
from hessium.landscape.find import find_critical_point as find_critical_point
from hessium.landscape.point import Certificate as Certificate
from hessium.landscape.point import CriticalPoint as CriticalPoint
from hessium.landscape.slices import LossPath as LossPath
from hessium.landscape.slices import LossSlice as LossSlice
from hessium.landscape.slices import align_permutation as align_permutation
from hessium.landscape.slices import filter_normalised as filter_normalised
from hessium.landscape.slices import loss_path as loss_path
from hessium.landscape.slices import loss_slice as loss_slice
from hessium.landscape.slices import trajectory_directions as trajectory_directions
