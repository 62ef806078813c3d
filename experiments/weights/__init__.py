"""Files of weights: what they hold, which network they are, and other formats for them."""
