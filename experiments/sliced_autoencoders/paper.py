"""Table 1 of the paper, as printed: one seed, no spread, lengths of training not given."""

# In the order of the table. The first group compares distribution functions or transports to the normal law at fixed
# points; the text sets SWAE, SCWAE and SCFWAE (distances) against SKSAE and SCvMAE (goodness-of-fit statistics).
METHODS = ("swae", "sksae", "scwae", "scvmae", "scfwae")

# "Normalised" kurtosis is the signed difference from d (d + 2).
_PRINTED = """
mnist    skewness              35.86    57.34    34.19    59.22    37.41
mnist    normalized_kurtosis  -57.46    35.33   -10.29    23.82   -31.93
mnist    reconstruction_error   5.37     5.01     5.35     5.04     5.42
cifar10  skewness             110.49   238.52   206.50   303.45    91.42
cifar10  normalized_kurtosis   -0.96  2093.68  2159.31  1879.98   111.21
cifar10  reconstruction_error  27.02    24.93    27.29    25.60    26.35
celeb_a  skewness              46.14    91.68    59.07   120.09    37.07
celeb_a  normalized_kurtosis   -3.60   408.24   296.99   428.18     0.17
celeb_a  reconstruction_error 115.68   115.57   115.30   115.62   115.26
"""

# (data set, metric as we log it) -> method -> value, as printed.
TABLE_1 = {
    (dataset, metric): dict(zip(METHODS, row, strict=True))
    for dataset, metric, *row in map(str.split, _PRINTED.split("\n")[1:-1])
}
