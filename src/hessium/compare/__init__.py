"""Measured spectra beside laws."""
