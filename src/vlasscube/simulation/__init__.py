"""A synthetic VLASS field with the products of its continuum run."""
