"""gentoolkit: functional generative modelling kernels, models and experiments for JAX.

Importing this package loads nothing heavy. Import the room you need::

    from gentoolkit.distances import normality, sliced
"""

__version__ = "0.1.0"
