"""Networks of image metrics beside those of PyTorch, on the same weights: `python -m benchmarks.image_parity`.

Random weights, the same on both sides, are written by PyTorch into files, which ours reads; the heads of LPIPS are the
published ones. A Markdown table of the largest difference of each tap over the largest value of the peer's.
Peers that are not installed are named as absent. Ends with status 1 where a difference is larger than asked.
"""

import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from flax import nnx

from benchmarks import image_peers, machine, targets
from gentoolkit.models.extractors import alexnet, inception, lpips, normalization, squeezenet, vgg

_ONLY = flags.DEFINE_list("only", [], "Checks to run, by name or beginning of a name; all if empty.")
_FEATURES, _DISTANCES = 1e-4, 1e-5  # relative differences that are asked for
_TRUNKS = {"alex": alexnet.AlexNet, "vgg": vgg.VGG16, "squeeze": squeezenet.SqueezeNet}
_SIDES = ((64, 64), (75, 67))  # the second one has pools that end beyond the edge

Found = tuple[str, Any, Any, float]  # what, ours, theirs, limit


def main(argv: list[str]) -> None:
    """Prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"no arguments are taken, got {argv[1:]}.")
    checks: dict[str, tuple[tuple[str, ...], Callable[[pathlib.Path], Iterator[Found]]]] = {
        "pytorch-fid": (("torch", "pytorch_fid"), _pytorch_fid),
        "torch-fidelity": (("torch", "torch_fidelity"), _torch_fidelity),
        "torchvision": (("torch", "torchvision"), _torchvision),
        "lpips": (("torch", "lpips"), _lpips),
    }
    print("| peer | what | largest difference, relative | asked | |\n| --- | --- | --- | --- | --- |")
    missed = 0
    for name, (modules, check) in checks.items():
        if _ONLY.value and not any(name.startswith(word) for word in _ONLY.value):
            continue
        missing = [module for module in modules if not machine.installed(module)]
        if missing:
            print(f"| {name} | absent: {', '.join(missing)} is not installed | | | |")
            continue
        with tempfile.TemporaryDirectory() as folder:
            for what, ours, theirs, limit in check(pathlib.Path(folder)):
                ours, theirs = np.asarray(ours), theirs.detach().numpy()
                if ours.shape != theirs.shape:
                    raise AssertionError(f"{name} {what}: shapes {ours.shape} and {theirs.shape}")
                difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
                missed += difference > limit
                print(f"| {name} | {what} | {difference:.1e} | {limit:.0e} | {targets.verdict(difference <= limit)} |")
    sys.exit(1 if missed else 0)


def _draw(*shape: int) -> np.ndarray:
    """Smooth images in [0, 1]: what networks see has edges and planes, not independent pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.random((shape[0], 8, 8, 3), np.float32)
    fine = jax.image.resize(coarse, shape, "linear") + 0.1 * rng.standard_normal(shape, np.float32)
    return np.clip(np.asarray(fine), 0, 1)


def _run(network: nnx.Module, call: Callable, *images: np.ndarray) -> Any:
    """Calls a compiled function of a network and images."""
    graphdef, state = nnx.split(network)
    return jax.jit(lambda state, *images: call(nnx.merge(graphdef, state), *images))(state, *map(jnp.asarray, images))


def _torch(images: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.asarray(images).transpose(0, 3, 1, 2)))


def _pytorch_fid(folder: pathlib.Path) -> Iterator[Found]:
    import torch

    path, state = folder / inception.FILE, image_peers.inception_state()
    torch.save({name: torch.from_numpy(x) for name, x in state.items()}, path)
    images = 2 * _draw(2, 299, 299, 3) - 1
    taps = inception.TAPS[:4]
    ours = _run(inception.InceptionV3.load(path), lambda network, x: network(x, taps), images)
    theirs = image_peers.pytorch_fid(state)(_torch(images))
    for tap, found in zip(taps, theirs, strict=True):
        yield f"Inception v3, tap {tap}, 299x299", ours[tap], found.mean((2, 3)), _FEATURES


def _torch_fidelity(folder: pathlib.Path) -> Iterator[Found]:
    import torch

    path, state = folder / inception.FILE, image_peers.inception_state()
    torch.save({name: torch.from_numpy(x) for name, x in state.items()}, path)
    images = np.round(255 * _draw(2, 299, 299, 3)).astype(np.uint8)
    taps = inception.TAPS
    ours = _run(inception.InceptionV3.load(path), lambda network, x: network(x, taps), (np.float32(images) - 128) / 128)
    theirs = image_peers.torch_fidelity(path)
    for tap, found in zip(theirs.features_list, theirs(_torch(images)), strict=True):
        yield f"Inception v3, tap {tap}, 299x299", ours[tap], found, _FEATURES


def _torchvision(folder: pathlib.Path) -> Iterator[Found]:
    import torch

    network = image_peers.torchvision("vgg16")
    torch.save(network.state_dict(), folder / vgg.FILE)
    images = np.asarray(normalization.imagenet(_draw(2, 224, 224, 3)))
    ours = _run(vgg.VGG16.load(folder / vgg.FILE, dense=True), lambda network, x: network(x, vgg.TAPS[-2:]), images)
    theirs = network.classifier[:4](network.avgpool(network.features(_torch(images))).flatten(1))
    yield "VGG16, tap fc2, 224x224", ours["fc2"], theirs, _FEATURES
    yield "VGG16, tap fc2_relu, 224x224", ours["fc2_relu"], theirs.relu(), _FEATURES
    for name, ours_class, module in (
        ("vgg16", vgg.VGG16, vgg),
        ("alexnet", alexnet.AlexNet, alexnet),
        ("squeezenet1_1", squeezenet.SqueezeNet, squeezenet),
    ):
        network = image_peers.torchvision(name)
        torch.save(network.state_dict(), folder / module.FILE, _use_new_zipfile_serialization=name != "alexnet")
        loaded = ours_class.load(folder / module.FILE)
        last = {"vgg16": 29, "alexnet": 11, "squeezenet1_1": 12}[
            name
        ]  # the layer in `features` that the last tap follows
        for side in _SIDES:
            images = np.asarray(normalization.imagenet(_draw(2, *side, 3)))
            ours = _run(loaded, lambda network, x: network(x), images)
            found = network.features[: last + 1](_torch(images)).permute(0, 2, 3, 1)
            yield f"{name}, last tap, {side[0]}x{side[1]}", ours[module.TRUNK_TAPS[-1]], found, _FEATURES


def _lpips(folder: pathlib.Path) -> Iterator[Found]:
    import torch

    for name, trunk in _TRUNKS.items():
        for version in ("0.1", "0.0"):
            theirs = image_peers.lpips(name, version)
            torch.save(image_peers.lpips_trunk(theirs), folder / "trunk.pth")
            ours = lpips.Lpips.load(
                trunk.load(folder / "trunk.pth"), image_peers.lpips_heads(name, version), version=version
            )
            what = f"LPIPS v{version} on {name}"
            for side in _SIDES[: 1 if version == "0.0" else 2]:
                a = _draw(4, *side, 3)
                first, second = a[:2], np.clip(a[:2] + 0.2 * (a[2:] - 0.5), 0, 1)

                def measured(network, x, y):
                    value, pull = jax.vjp(lambda x: network(x, y, image_range=(0, 1)), x)
                    layers = jnp.stack([m.mean((1, 2)) for m in network.layers(x, y, image_range=(0, 1))])
                    return value, pull(jnp.ones_like(value))[0], network.maps(x, y, image_range=(0, 1)), layers

                value, gradient, maps, layers = _run(ours, measured, first, second)
                x, y = _torch(first).requires_grad_(), _torch(second)
                found, by_layer = theirs(x, y, retPerLayer=True, normalize=True)
                (slope,) = torch.autograd.grad(found.sum(), x)
                theirs.spatial = True
                spatial = theirs(x, y, normalize=True)[:, 0]
                theirs.spatial = False
                at = f", {side[0]}x{side[1]}"
                yield what + at, value, found.flatten(), _DISTANCES
                yield f"{what}, by layer{at}", layers, torch.stack([one.flatten() for one in by_layer]), _DISTANCES
                yield f"{what}, map{at}", maps, spatial, _DISTANCES
                yield f"{what}, gradient{at}", gradient, slope.permute(0, 2, 3, 1), _FEATURES


if __name__ == "__main__":
    app.run(main)
