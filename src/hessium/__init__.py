"""Exact and certified Hessian spectra of neural-network losses, beside random matrix theory.

A name is imported when it is first used, so that `hessium.theory` and the command line start
without torch. The names are in `__init__.pyi`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
