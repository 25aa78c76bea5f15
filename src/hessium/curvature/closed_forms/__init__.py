"""Layers whose second derivative is a closed form of a few passes over memory.

torch composes the second derivatives of activations and normalisations of many elementwise kernels.
Here a graph of products computes what does not depend on the vector once, and every product takes
two to ten passes. Values and first derivatives are those of torch's own kernels; the self-check
compares products with differences of gradients that do not use these forms.
"""
