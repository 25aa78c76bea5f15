"""Configured runs: each name is a figure of the sources or a question about them."""

from hessium.experiments import rank_vs_samples
from hessium.experiments.experiment import Registry

REGISTRY = Registry([rank_vs_samples.EXPERIMENT])
"""What `hessium reproduce` runs, in the order of its page."""
