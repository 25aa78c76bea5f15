"""Configured runs: each name is a figure of the sources or a question about them."""
