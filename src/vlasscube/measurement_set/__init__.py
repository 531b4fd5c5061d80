"""Measurement sets: metadata, selection, flags, weights, restoring the continuum run's state."""
