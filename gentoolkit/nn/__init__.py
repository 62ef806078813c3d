"""Building blocks of networks: bijections of flows, convolutions, norms, blocks, pools and augmentation."""
