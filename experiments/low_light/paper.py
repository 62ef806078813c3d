"""The figures of tables I to III of the paper: PSNR, precision, recall, F1 and seconds of each method and k."""

COLUMNS = ("PSNR", "precision", "recall", "F1", "s")
CLUSTERS = (10, 20, 30, 40, 50, 100, 200)

# Methods without clusters; None where the paper gives no time.
_OTHERS = {
    "dark": (10.44, 0.4514, 0.1711, 0.2090, None),
    "gpe": (16.25, 0.4745, 0.6563, 0.5292, 1.11),
    "fbe": (14.68, 0.5959, 0.4659, 0.4831, 0.12),
    "wvm": (12.88, 0.5794, 0.3458, 0.3722, 3.29),
    "lime": (15.08, 0.3205, 0.6463, 0.4076, 0.04),
    "srrm": (14.10, 0.5779, 0.3395, 0.3714, 5.85),
    # The paper's GBLE. Ours is a reconstruction of it, so the two rows are not comparable.
    "gble_like": (13.25, 0.2284, 0.3303, 0.2513, 0.35),
}
_CLUSTERED = {
    ("lm", 200): (16.36, 0.5180, 0.5943, 0.5308, 0.91),
    ("lm", 100): (16.25, 0.5036, 0.5928, 0.5222, 0.46),
    ("lm", 50): (16.20, 0.4872, 0.5929, 0.5119, 0.37),
    ("lm", 40): (16.18, 0.4820, 0.5926, 0.5092, 0.36),
    ("lm", 30): (16.09, 0.4745, 0.5914, 0.5040, 0.32),
    ("lm", 20): (15.99, 0.4600, 0.5862, 0.4928, 0.29),
    ("lm", 10): (15.63, 0.4229, 0.5754, 0.4644, 0.27),
    ("cm", 200): (16.70, 0.5717, 0.5385, 0.5245, 1.74),
    ("cm", 100): (16.67, 0.5600, 0.5476, 0.5244, 0.75),
    ("cm", 50): (16.66, 0.5478, 0.5549, 0.5231, 0.56),
    ("cm", 40): (16.66, 0.5416, 0.5579, 0.5216, 0.54),
    ("cm", 30): (16.61, 0.5315, 0.5602, 0.5177, 0.49),
    ("cm", 20): (16.46, 0.5105, 0.5590, 0.5063, 0.45),
    ("cm", 10): (16.27, 0.4713, 0.5582, 0.4846, 0.41),
}


def row(method: str, num_clusters: int) -> dict[str, float | None]:
    """Returns what the paper has for a method by column, nothing for what is ours alone."""
    found = _OTHERS.get(method) or _CLUSTERED.get((method, num_clusters), ())
    return dict(zip(COLUMNS, found, strict=bool(found)))
