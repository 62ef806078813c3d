"""Invertible layers with a log-determinant, the parts of normalizing flows."""
