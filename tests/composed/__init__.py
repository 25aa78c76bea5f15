"""Randomly composed models with an oracle that shares no code with the library."""
