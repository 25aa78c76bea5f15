"""Configured runs: each name is a figure of the sources or a question about them."""

from hessium.experiments.experiment import Registry

REGISTRY = Registry()
"""What `hessium reproduce` runs, in the order of its page."""
