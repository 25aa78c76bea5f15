"""What `hessium reproduce` can run: the one module that knows, and imports, all experiments."""

from hessium.runs.experiment import Registry
from hessium.studies import (
    edge_of_stability,
    linearization,
    rank_vs_duplicates,
    rank_vs_samples,
    real_data,
    trust_region,
)
from hessium.studies.critical_points import fig6, linear
from hessium.studies.random_hessian import critical, fig1, index
from hessium.studies.real_networks import (
    assumption_audit,
    fig2_freeness,
    fig5_gram_gap,
    null_space,
    rank_theory,
    residual,
    spacings,
)

REGISTRY = Registry(
    [
        rank_vs_samples.EXPERIMENT,
        rank_vs_duplicates.EXPERIMENT,
        linearization.EXPERIMENT,
        trust_region.EXPERIMENT,
        real_data.EXPERIMENT,
        edge_of_stability.EXPERIMENT,
        fig1.EXPERIMENT,
        index.EXPERIMENT,
        critical.EXPERIMENT,
        fig2_freeness.EXPERIMENT,
        residual.EXPERIMENT,
        null_space.EXPERIMENT,
        fig5_gram_gap.EXPERIMENT,
        rank_theory.EXPERIMENT,
        spacings.EXPERIMENT,
        assumption_audit.EXPERIMENT,
        fig6.EXPERIMENT,
        linear.EXPERIMENT,
    ]
)
"""What `hessium reproduce` runs, in the order of its page."""
