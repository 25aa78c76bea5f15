"""Deviations from the limit laws: edges, outliers and level spacings."""
