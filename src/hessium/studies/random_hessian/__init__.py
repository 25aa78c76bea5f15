"""The laws of the second source beside sampled matrices: densities, index, critical energy."""
