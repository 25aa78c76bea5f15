"""Laws of eigenvalues: the base class, and one file for each law."""
