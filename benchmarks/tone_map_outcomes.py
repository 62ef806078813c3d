"""What comes of enhancing one dark image by ours and by scikit-learn: `python -m benchmarks.tone_map_outcomes`.

To be faster for less would be no gain. A Markdown table of the objective of k-means (over that of greedy seeds and
Lloyd to `tolerance`), steps of Lloyd and PSNR against the bright photograph, means over seeds, for the image of the
benchmark.
"""

import statistics

import jax
import jax.numpy as jnp
from absl import app, flags

from benchmarks import tone_map_bench
from gentoolkit.gaussian_process import kmeans
from gentoolkit.imaging import color, patches, quality
from gentoolkit.imaging.gp_enhancement import clustering, tone_map

_SEEDS = flags.DEFINE_integer("seeds", 8, "How many seeds are averaged over.", lower_bound=1)
_CLUSTERS = flags.DEFINE_multi_integer("clusters", [10, 50, 200], "Numbers of clusters.", lower_bound=1)

_GREEDY = {"init": "greedy", "min_decrease": 0.0}
_OURS = {"init": "parallel", "min_decrease": clustering.MIN_DECREASE}


def _ours(image, reference, num, options, seed):
    key, size = jax.random.key(seed), tone_map_bench.PATCH
    pairs = jnp.concatenate([patches.extract(one, size).reshape(-1, size * size) for one in (image, reference)], axis=1)
    found = kmeans.kmeans(key, pairs, num, **options)
    enhanced = tone_map.apply(tone_map.fit(key, image, reference, num_clusters=num, patch_size=size, **options), image)
    return enhanced, float(found.inertia), int(found.num_iterations)


def main(argv: list[str]) -> None:
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    print("|  | k | objective: ours, scikit-learn | steps: greedy, ours, scikit-learn | PSNR: the same three |")
    print("| --- | --- | --- | --- | --- |")
    for name, short in (("luma", "LM"), ("rgb", "CM")):
        for num in _CLUSTERS.value:
            inputs = tone_map_bench.make_inputs({"k": num})
            image, reference = inputs[name], inputs[f"{name}_reference"]
            bright = jnp.asarray(tone_map_bench.photograph())
            bright = bright if name == "rgb" else color.luma(bright)
            found: list[list[tuple[float, float, float]]] = [[], [], []]
            for seed in range(_SEEDS.value):
                made = (
                    _ours(image, reference, num, _GREEDY, seed),
                    _ours(image, reference, num, _OURS, seed),
                    tone_map_bench.chain(image, reference, num, tone_map_bench.MOST_STEPS, seed=seed),
                )
                for column, (enhanced, objective, steps) in zip(found, made, strict=True):
                    column.append((objective, float(steps), float(quality.psnr(bright, jnp.asarray(enhanced)))))
            means = [[statistics.mean(values) for values in zip(*column, strict=True)] for column in found]
            objectives = ", ".join(f"{column[0] / means[0][0]:.3f}" for column in means[1:])
            steps = ", ".join(f"{column[1]:.1f}" for column in means)
            psnr = ", ".join(f"{column[2]:.2f}" for column in means)
            print(f"| {short} | {num} | {objectives} | {steps} | {psnr} |", flush=True)


if __name__ == "__main__":
    app.run(main)
