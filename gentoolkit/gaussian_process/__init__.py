"""Gaussian processes as immutable values: covariances, posteriors, sparse forms, evidence, and k-means for inducing."""
