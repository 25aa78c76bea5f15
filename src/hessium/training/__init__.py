"""Curvature while a network trains: a monitor, preconditioned operators, stability thresholds."""

from hessium.training.checkpoint_files import read_checkpoint as read_checkpoint
from hessium.training.monitor import Monitor as Monitor
from hessium.training.precondition import precondition as precondition
from hessium.training.record import Record as Record
