"""Losses along lines, planes and paths, beside their quadratic model."""

from hessium.landscape.slices.alignment import align_permutation as align_permutation
from hessium.landscape.slices.directions import filter_normalised as filter_normalised
from hessium.landscape.slices.directions import trajectory_directions as trajectory_directions
from hessium.landscape.slices.loss_path import LossPath as LossPath
from hessium.landscape.slices.loss_path import loss_path as loss_path
from hessium.landscape.slices.loss_slice import LossSlice as LossSlice
from hessium.landscape.slices.loss_slice import loss_slice as loss_slice
