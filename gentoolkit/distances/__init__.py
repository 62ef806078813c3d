"""Distances and losses between samples and laws: exact, differentiable, linear in memory."""
