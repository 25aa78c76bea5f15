"""Theory beside real networks: two layers, no biases, as in Pennington & Bahri (2017)."""
