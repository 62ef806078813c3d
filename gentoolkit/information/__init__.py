"""Information measures from samples, in nats, each with its doubt.

    from gentoolkit import information
    got = information.total_correlation(key, x, num_permutations=99)
    got.value, got.standard_error, got.p_value

The functions here work by density destructors and return an `Estimate`. The modules `nearest_neighbors`,
`exponential_family` and `von_mises` have the same measures by other estimators, `student_t` and `gaussian` in closed
form, and `estimate` puts a standard error, a null and a p-value to any of them.
"""

from gentoolkit.information.conditional import conditional_mutual_information
from gentoolkit.information.divergence import kl_divergence
from gentoolkit.information.entropy import entropy, negentropy
from gentoolkit.information.estimate import Estimate
from gentoolkit.information.mutual_information import mutual_information
from gentoolkit.information.total_correlation import total_correlation

__all__ = [
    "Estimate",
    "conditional_mutual_information",
    "entropy",
    "kl_divergence",
    "mutual_information",
    "negentropy",
    "total_correlation",
]
