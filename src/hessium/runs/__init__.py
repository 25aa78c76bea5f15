"""Computations that are kept: tasks, result stores, run directories, fingerprints."""
