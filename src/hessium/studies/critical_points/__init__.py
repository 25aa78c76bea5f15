"""Index against energy at true critical points, beside the published protocol."""
