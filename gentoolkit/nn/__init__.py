"""Building blocks of networks: bijections of flows, convolutions, attention, norms, blocks, pools and augmentation."""
