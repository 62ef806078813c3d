"""Experiments: one folder each, with a config, a binary, and a script for each table and figure of its paper."""
