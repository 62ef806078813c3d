"""Statistics for `evaluation.measure`: what is kept of the rows of a stream, and how parts are put together.

`of` is the name of an array among the extracted ones, or a function of all of them by name.
"""

from gentoolkit.evaluation.statistics.blocks import BlockMoments as BlockMoments
from gentoolkit.evaluation.statistics.blocks import blocks as blocks
from gentoolkit.evaluation.statistics.blocks import merged as merged
from gentoolkit.evaluation.statistics.blocks import without as without
from gentoolkit.evaluation.statistics.moments import FeatureMoments as FeatureMoments
from gentoolkit.evaluation.statistics.moments import Mean as Mean
from gentoolkit.evaluation.statistics.moments import mean as mean
from gentoolkit.evaluation.statistics.moments import moments as moments
from gentoolkit.evaluation.statistics.rows import rows as rows
