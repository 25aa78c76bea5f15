"""Laws of random matrices and published predictions; NumPy and SciPy only."""
