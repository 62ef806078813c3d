"""Distances of a 1-D sample from N(0, 1), in closed form, with what a normal sample itself gives.

Each statistic maps samples `[..., n]` to values `[...]`, with a gradient, whatever the leading axes: the slices of
`sliced.project`, for instance. All but `shapiro_francia` are distances to N(0, 1), and tend to zero as n grows if and
only if the law of the sample is N(0, 1). At finite n none of these is zero; `null_mean` says what to expect. Those that
sort (all but the two of the characteristic function) have a derivative for reverse mode only: `jax.jvp` refuses them.

| function | paper's name | compares | far-out values |
|---|---|---|---|
| `wasserstein` | SCFWAE | ordered sample | gradient grows with y |
| `cramer_wold` | SCWAE | characteristic function | gradient vanishes |
| `cramer_von_mises` | SCvMAE | distribution function, mean square | gradient vanishes |
| `kolmogorov_smirnov` | SKSAE | distribution function, largest | one value at a time has a gradient |
| `anderson_darling` | | distribution function, tails weighted | gradient grows with y |
| `epps_pulley` | | characteristic function | gradient vanishes |
| `shapiro_francia` | | ordered sample, any mean and scale | bounded |
"""

from gentoolkit.distances.normality.characteristic import cramer_wold as cramer_wold
from gentoolkit.distances.normality.characteristic import epps_pulley as epps_pulley
from gentoolkit.distances.normality.ecdf import anderson_darling as anderson_darling
from gentoolkit.distances.normality.ecdf import cramer_von_mises as cramer_von_mises
from gentoolkit.distances.normality.ecdf import kolmogorov_smirnov as kolmogorov_smirnov
from gentoolkit.distances.normality.null import cauchy_combination as cauchy_combination
from gentoolkit.distances.normality.null import null_mean as null_mean
from gentoolkit.distances.normality.null import p_value as p_value
from gentoolkit.distances.normality.order_statistics import shapiro_francia as shapiro_francia
from gentoolkit.distances.normality.order_statistics import wasserstein as wasserstein
