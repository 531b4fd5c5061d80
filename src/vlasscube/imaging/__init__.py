"""Imaging of a plane: the clean sequence iter0 … iter3, its masks, and the engines."""
