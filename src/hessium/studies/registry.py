"""What `hessium reproduce` can run: the one module that knows, and imports, all experiments."""

from hessium.runs.experiment import Registry
from hessium.studies import linearization, rank_vs_duplicates, rank_vs_samples, real_data
from hessium.studies.critical_points import fig6, linear
from hessium.studies.random_hessian import critical, fig1, index
from hessium.studies.real_networks import (
    assumed,
    gap,
    null_space,
    rank_theory,
    residual,
    spacings,
    turned,
)

REGISTRY = Registry(
    [
        rank_vs_samples.EXPERIMENT,
        rank_vs_duplicates.EXPERIMENT,
        linearization.EXPERIMENT,
        real_data.EXPERIMENT,
        fig1.EXPERIMENT,
        index.EXPERIMENT,
        critical.EXPERIMENT,
        turned.EXPERIMENT,
        residual.EXPERIMENT,
        null_space.EXPERIMENT,
        gap.EXPERIMENT,
        rank_theory.EXPERIMENT,
        spacings.EXPERIMENT,
        assumed.EXPERIMENT,
        fig6.EXPERIMENT,
        linear.EXPERIMENT,
    ]
)
"""What `hessium reproduce` runs, in the order of its page."""
