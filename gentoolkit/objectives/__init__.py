"""Losses of generative models as pure functions of arrays, one value a row: adversarial, variational and others."""
