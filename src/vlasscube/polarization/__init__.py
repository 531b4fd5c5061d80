"""Stokes spectra, receiver noise, rotation measure: arrays in, numbers out."""
