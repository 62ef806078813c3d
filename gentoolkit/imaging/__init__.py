"""Photographs in JAX: colour, patches, filters, solvers, degradations, quality, and the classical low-light methods."""
