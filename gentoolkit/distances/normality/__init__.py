"""Tests of a 1-D sample against N(0, 1), in closed form, with what a normal sample itself gives.

Each statistic maps samples `[..., n]` to values `[...]`, with a gradient, whatever the leading axes: the slices of
`sliced.project`, for instance. At finite n hardly one is zero for a normal sample; `null_mean` says what to expect.
Those of the upper table are distances to N(0, 1), and tend to zero as n grows if and only if the law of the sample is
N(0, 1). Those that sort (all but those of characteristic functions and moments), and `epps_pulley_quadrature`, have a
derivative for reverse mode only: `jax.jvp` refuses them.

| function | paper's name | compares | far-out values |
|---|---|---|---|
| `wasserstein` | SCFWAE | ordered sample | gradient grows with y |
| `cramer_wold` | SCWAE | characteristic function | gradient vanishes |
| `cramer_von_mises` | SCvMAE | distribution function, mean square | gradient vanishes |
| `kolmogorov_smirnov` | SKSAE | distribution function, largest | one value at a time has a gradient |
| `anderson_darling` | | distribution function, tails weighted | gradient grows with y |
| `watson` | | distribution function, but for a turn of the circle | gradient vanishes |
| `epps_pulley` | | characteristic function | gradient vanishes |
| `epps_pulley_quadrature` | SIGReg | characteristic function at 17 nodes | gradient repeats |

| function | does not see | far-out values |
|---|---|---|
| `likelihood` | (no distance: negative for normal samples) | gradient grows with n y |
| `mean_and_variance` | anything but these two | gradient grows with y³ |
| `jarque_bera` | mean and scale; more than four moments | bounded by n² |
| `extended_jarque_bera` | more than four moments | gradient grows with y³ |
| `moments` | more than four moments | gradient grows with y³ |
| `shapiro_francia`, `shapiro_wilk` | mean and scale | bounded |
| `normal_score_cosine` | scale | bounded |
| `negentropy` | mean and scale | bounded by the least spacing |

**Which to use when.** From `python -m benchmarks.normality_power`: the mean over 64 slices of codes of 16 features, how
often samples of 256 (1024) of six departures from N(0, I) are told from it at 5 %, and n times the gradient where all
codes are within 0.01 of a point, over that at a normal sample.

- To keep embeddings from collapsing in a large batch on many devices: `epps_pulley_quadrature`, of which devices
  exchange 32 numbers a slice and whose gradient is bounded. It sees mean, scale and rank (0.60 to 1.00 of the samples
  of 256), tails and steps late (heavy tails 0.19, at 1024 0.77; quantized 0.16, 0.84). The less codes are spread the
  weaker it pulls them apart, 0.35 of a normal sample's at a point: begin with codes that are not there already.
- To see more of the shape with one device or few: `wasserstein` (0.32 or more of all six, heavy tails 0.60), which
  pulls from anywhere, 12 times a normal sample's at a point; `cramer_wold` with its narrower kernel (quantized 0.79)
  where outliers must not pull; `watson` (heaps 0.79, rank 0.95, quantized 0.85, heavy tails 0.40), the best of those by
  distribution functions, though a common shift of these escapes it.
- The most for the least: `extended_jarque_bera` (0.67 or more of all six, for a few sums), whose gradient grows with y³
  and divides by the variance: clip it, and do not begin with collapsed codes.
- Not alone: `mean_and_variance` (heavy tails 0.17, quantized 0.07, where chance gives 0.05), `jarque_bera`,
  `shapiro_wilk` and `negentropy` (shift, scale and rank 0.08 at most), `normal_score_cosine` (scale and rank 0.07).
- `cramer_von_mises`, `kolmogorov_smirnov`, `anderson_darling`, `likelihood` and `moments` see a wrong mean and little
  else at 256 (0.12 to 0.52 of the rest); the last pulls least where codes collapse.
- Without slices, up to some tens of features and thousands of codes: `cramer_wold.to_normal` (0.54 or more of all six).

LeJEPA's library (lejepa 0.1) has them under these names, `[n, k]` where we have `[k, n]`. With our value v:

| lejepa.univariate | is |
|---|---|
| `EppsPulley()` | v of `epps_pulley_quadrature` |
| `CramerVonMises()`, `Watson()` | v - 1/(12 n²) |
| `AndersonDarling()` | n v |
| `ExtendedJarqueBera()`, `VCReg()` | v of `extended_jarque_bera`, `mean_and_variance` |
| `Moments()` | v of `moments` |
| `ShapiroWilk()` | v of `normal_score_cosine`; ours of the name `shapiro_wilk` is the test of Shapiro and Wilk |
| `Entropy()` | exp(v) of `negentropy` with `ends="wide"`; v with `ends="right"` for `method="right"` |
| `NLL()` | v of `likelihood` is its mean over the sample |

Beyond |y| = 3 lejepa takes an approximation of the logarithm of the normal cdf, by which its `AndersonDarling` and
`NLL` differ from ours where a sample reaches so far: by 1e-4 of the value and 1e-2 of the gradient.
"""

from gentoolkit.distances.normality.characteristic import cramer_wold as cramer_wold
from gentoolkit.distances.normality.characteristic import epps_pulley as epps_pulley
from gentoolkit.distances.normality.ecdf import anderson_darling as anderson_darling
from gentoolkit.distances.normality.ecdf import cramer_von_mises as cramer_von_mises
from gentoolkit.distances.normality.ecdf import kolmogorov_smirnov as kolmogorov_smirnov
from gentoolkit.distances.normality.ecdf import likelihood as likelihood
from gentoolkit.distances.normality.ecdf import watson as watson
from gentoolkit.distances.normality.moment_statistics import extended_jarque_bera as extended_jarque_bera
from gentoolkit.distances.normality.moment_statistics import jarque_bera as jarque_bera
from gentoolkit.distances.normality.moment_statistics import mean_and_variance as mean_and_variance
from gentoolkit.distances.normality.moment_statistics import moments as moments
from gentoolkit.distances.normality.null import cauchy_combination as cauchy_combination
from gentoolkit.distances.normality.null import null_mean as null_mean
from gentoolkit.distances.normality.null import p_value as p_value
from gentoolkit.distances.normality.order_statistics import normal_score_cosine as normal_score_cosine
from gentoolkit.distances.normality.order_statistics import shapiro_francia as shapiro_francia
from gentoolkit.distances.normality.order_statistics import shapiro_wilk as shapiro_wilk
from gentoolkit.distances.normality.order_statistics import wasserstein as wasserstein
from gentoolkit.distances.normality.quadrature import epps_pulley_quadrature as epps_pulley_quadrature
from gentoolkit.distances.normality.spacings import negentropy as negentropy
