"""Published predictions for the Hessians of neural networks."""
