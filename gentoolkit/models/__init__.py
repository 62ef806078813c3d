"""Whole networks as NNX modules: trees of layers that know no loss, no data set and no trainer.

Images are NHWC in [0, 1]. Layers leave their `dtype` open, so that a trainer may let them compute in bfloat16; what
comes out is float32 or wider.
"""
