"""The figures and claims of the two sources and the papers behind them."""
