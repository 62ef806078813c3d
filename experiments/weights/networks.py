"""The networks of the toolkit that take weights from files, as an inspected file is compared with them."""

from flax import nnx

from experiments.weights import translation
from experiments.weights.network import Network
from gentoolkit.models import clip, weights
from gentoolkit.models.extractors import alexnet, inception, lpips, mobilenet, squeezenet, vgg

NETWORKS = [
    Network(
        "inception.InceptionV3",
        inception.InceptionV3,
        inception.table_of,
        inception.IGNORED,
        inception.PUBLISHED,
    ),
    Network("vgg.VGG16", vgg.VGG16, lambda file: vgg.table(), vgg.ignored(), vgg.PUBLISHED),
    Network(
        "vgg.VGG16(dense=True)",
        lambda: vgg.VGG16(dense=True),
        lambda file: vgg.table(dense=True),
        vgg.ignored(dense=True),
        vgg.PUBLISHED,
    ),
    Network("alexnet.AlexNet", alexnet.AlexNet, lambda file: alexnet.table(), alexnet.IGNORED, alexnet.PUBLISHED),
    Network(
        "squeezenet.SqueezeNet",
        squeezenet.SqueezeNet,
        lambda file: squeezenet.table(),
        squeezenet.IGNORED,
        squeezenet.PUBLISHED,
    ),
    Network("squeezenet.KerasSqueezeNet", squeezenet.KerasSqueezeNet, lambda file: squeezenet.keras_table()),
    Network("mobilenet.MobileNetV2", mobilenet.MobileNetV2, mobilenet.table, mobilenet.IGNORED),
    *(
        Network(
            f"lpips.Lpips on {trunk.__name__}, its heads",
            lambda channels=channels: lpips.Heads(channels),
            lambda file, trunk=trunk: lpips.table(nnx.eval_shape(trunk), file),
            (),
            published,
        )
        for trunk, channels, published in (
            (alexnet.AlexNet, alexnet.TRUNK_CHANNELS, ("df73285e35b22355", "18720f55913d0af8")),
            (vgg.VGG16, vgg.TRUNK_CHANNELS, ("a78928a0af1e5f0f", "b9e4236260c3dd98")),
            (squeezenet.SqueezeNet, squeezenet.TRUNK_CHANNELS, ("4a5350f23600cb79", "c27abd3a0145541b")),
        )
    ),
]


def compared(file: weights.Weights) -> list[tuple[Network, list[str]]]:
    """Each network with what keeps the file from being its weights, those with the least first; nothing if it is.

    CLIP and the networks of translation come in many sizes: those that the file's own tensors speak for are compared.
    """
    found = []
    for network in [*NETWORKS, *_clips(file), *translation.networks(file)]:
        empty = nnx.eval_shape(network.make)
        found.append((network, weights.problems(empty, network.table(file), file, ignore=network.ignored)))
    return sorted(found, key=lambda pair: len(pair[1]))


def _clips(file: weights.Weights) -> list[Network]:
    name, naming = clip.nearest_size(file), clip.naming_of(file)
    if name is None or naming is None:
        return []
    architecture, note = getattr(clip, name), "" if name in clip.PUBLISHED else "; no file tells its activation"
    return [
        Network(
            f"clip.CLIP, clip.{name} ({naming} names{note})",
            lambda: clip.shapes(architecture),
            lambda file: clip.table_of(architecture, naming),
            clip.IGNORED,
            (clip.PUBLISHED[name],) if name in clip.PUBLISHED else (),
        )
    ]
