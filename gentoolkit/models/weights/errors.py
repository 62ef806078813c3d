"""What is wrong with a file of weights."""


class WeightsError(ValueError):
    """A file of weights cannot be read, or is not that of the network; the message names the file and the tensors."""
