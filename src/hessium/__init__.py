"""Exact and certified Hessian spectra of neural-network losses, beside random matrix theory.

    import hessium as hs
    risk = hs.EmpiricalRisk(model, loss, data)    # model + loss + data at the parameters now
    hs.spectrum(hs.Hessian(risk))                 # all eigenvalues, or hs.spectral_measure

The map, in the order of the work:

===============  ================================================================================
`problem`        `EmpiricalRisk`, `SumRisk`: a loss over all data as a function of a vector
`curvature`      operators of a risk: `Hessian`, `GaussNewton`, `ResidualHessian`, `Gram`
`linalg`         symmetric operators: sums, products, anything with `@`
`estimate`       numbers with errors: `eigenpairs`, `spectral_measure`, `trace`, `solve`
`spectra`        `Spectrum`, exact or estimated: counts, bands, integrals, densities
`theory`         spectral laws of random matrices, free sums, predictions for Hessians (no torch)
`compare`        a spectrum beside a law or another one; assumptions of theory on a network
`posterior`      `GaussNewtonPosterior`: what the data determine, and where to measure next
`landscape`      critical points with certificates, `loss_slice`, `loss_path`
`training`       `Monitor`: curvature while a network trains; `track` along checkpoints
`runs`           `save`, `load`, run directories
`examples`       models to try: `hessium example` lists them
===============  ================================================================================

`hs.profile(risk)`, `hs.audit(risk)` and `hs.identify(risk)` measure much at once and write a page.
Errors and warnings are in `hessium.errors`; the command is `hessium --help`.

A name is imported when it is first used, so that `hessium.theory` and the command line start
without torch. The names are in `__init__.pyi`.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
