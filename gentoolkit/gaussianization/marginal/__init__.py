"""Maps of one-dimensional laws to N(0, 1): fitted on samples, strictly increasing, with an exact inverse.

A variant is a value of `Marginal`: three functions and its own description. All of them work on the last axis, so the
features of a sample `x` `[n, d]` are handed over as the rows `x.T`::

    variant = marginal.quantile(tails="pareto")
    fitted = variant.fit(x.T)                       # a pytree, static shapes, one map a row
    z, log_derivative = variant.forward(fitted, x.T)
    x.T ≈ variant.inverse(fitted, z)

`quantile` is the one to start with. `histogram` and `kernel_density` suit bounded data that fills its range evenly
enough for a uniform grid; `mixture` is smooth everywhere and has tails of its own. Anything else with the same three
functions can stand in their place.

**Tails.** What `quantile`, `histogram` and `kernel_density` do outside the range they were fitted on is a named rule,
each of them a law with a density of its own. A tail begins at the outermost knot, where z is that of the map, and goes
on outwards at e = |x - x_end|:

- "gaussian": z is linear in x, along the line through the sample's 5 % (95 %) quantile and the outermost knot, so the
  law beyond is Gaussian, matched at two quantiles. Light tails, honest density, invertible.
- "linear": z is linear in x with the slope of the outermost segment: Gaussian too, but matched at the last two knots.
- "pareto": the tail probability falls as (1 + shape e / scale)^(-1 / shape), a generalised Pareto law fitted to the
  outer 5 % of the sample by probability-weighted moments, shape kept in [0.001, 0.9]: heavy tails.
- "clip": everything beyond is sent to the outermost z, with log-derivative minus infinity: the density is said to be
  zero there, the inverse returns the outermost knot. Not invertible outside the range.
"""

from gentoolkit.gaussianization.marginal._tails import Rule
from gentoolkit.gaussianization.marginal.binned import histogram, kernel_density
from gentoolkit.gaussianization.marginal.logistic_mixture import mixture
from gentoolkit.gaussianization.marginal.quantile_spline import quantile
from gentoolkit.gaussianization.marginal.variant import Compensated, Marginal, dither

__all__ = ["Compensated", "Marginal", "Rule", "dither", "histogram", "kernel_density", "mixture", "quantile"]
