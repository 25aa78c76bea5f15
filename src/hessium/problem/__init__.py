"""From a module, a loss and data to a function of one flat vector."""
