"""Density destructors: marginal maps, rotations, and the layers of them that turn any sample into a Gaussian one."""
