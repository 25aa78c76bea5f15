"""Eigenvalues along BFGS, L-BFGS-B and trust-region Newton on an inverse problem with a PDE."""

from hessium.studies.study import study
from hessium.studies.trust_region.compute import TrustRegionConfig, compute, tasks
from hessium.studies.trust_region.page import summarise

EXPERIMENT = study(
    "trust-region",
    "Eigenvalues along three optimisers on a problem with a PDE",
    quick=TrustRegionConfig(
        widths=(1, 5, 5, 1),
        cells=20,
        seeds=(2,),
        max_iterations=1000,
        newton_iterations=400,
        looks=8,
    ),
    paper=TrustRegionConfig(),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)
