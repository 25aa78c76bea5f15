"""Symmetric operators and their kernels; knows no networks."""
