"""Building blocks of networks: the bijections of normalizing flows, and convolutions."""
