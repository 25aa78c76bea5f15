"""Theory beside real networks: two-layer networks without biases, as the second source has them."""
