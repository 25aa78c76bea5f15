"""Figures as data: numbers with their errors, tables, charts, and findings in words."""
