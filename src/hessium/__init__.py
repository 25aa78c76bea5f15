"""Exact and certified Hessian spectra of neural-network losses, beside random matrix theory."""
