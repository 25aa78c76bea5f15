"""What several test modules share: risks with references, matrices, data, processes."""
