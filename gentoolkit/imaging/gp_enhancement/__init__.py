"""Brightening by a Gaussian process from dark patches to the pixels of a rough bright reference, fitted per image."""
