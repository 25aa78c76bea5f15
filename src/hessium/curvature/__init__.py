"""Operators of a risk: Hessian, Gauss-Newton, residual part, Fisher, Gram."""
