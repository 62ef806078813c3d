"""Trainable layers that are not whole models: the bijections of normalizing flows."""
