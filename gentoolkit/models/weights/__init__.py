"""Weights from files without the framework that wrote them, and tables that put them into networks.

    weights = read("vgg16-397923af.pth")      # arrays by name; .format, .sha256; no code of the file runs
    network = assign(nnx.eval_shape(lambda: Network(rngs=nnx.Rngs(0))), table, weights)
    origin = of_file("vgg16", weights, published=("397923af",))

A table has an `Entry` for each parameter of a network, by path: which tensors of the file it is made of, and how.
"""

from gentoolkit.models.weights.errors import WeightsError as WeightsError
from gentoolkit.models.weights.origin import UNFILLED as UNFILLED
from gentoolkit.models.weights.origin import Origin as Origin
from gentoolkit.models.weights.origin import of_file as of_file
from gentoolkit.models.weights.origin import of_random as of_random
from gentoolkit.models.weights.reading import Weights as Weights
from gentoolkit.models.weights.reading import read as read
from gentoolkit.models.weights.tables import Entry as Entry
from gentoolkit.models.weights.tables import Table as Table
from gentoolkit.models.weights.tables import assign as assign
from gentoolkit.models.weights.tables import batch_norm as batch_norm
from gentoolkit.models.weights.tables import convolution as convolution
from gentoolkit.models.weights.tables import linear as linear
from gentoolkit.models.weights.tables import linear_of_image as linear_of_image
from gentoolkit.models.weights.tables import normalized_convolution as normalized_convolution
from gentoolkit.models.weights.tables import permuted as permuted
from gentoolkit.models.weights.tables import pixelwise as pixelwise
from gentoolkit.models.weights.tables import problems as problems
from gentoolkit.models.weights.tables import random as random
from gentoolkit.models.weights.tables import same as same
from gentoolkit.models.weights.tables import transposed_convolution as transposed_convolution
from gentoolkit.models.weights.tables import under as under
from gentoolkit.models.weights.tables import with_bias as with_bias
