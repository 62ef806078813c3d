"""Frozen networks that measure images: features for distances between sets, and perceptual distances of pairs.

They are for inference, NHWC, and compute in float32 at full precision whatever the default is. Each is made by `load`
from a published file or by `random`, which says so in its name; `origin` has name, SHA-256, and whether it
begins as the published file's. Resizing is the caller's: results depend on how it is done. On CPU compile them by
`training.jit`, or with its compiler options: plain `jax.jit` hands their convolutions to slower fusions.

| network | takes RGB | gives |
|---|---|---|
| `inception.InceptionV3` | [-1, 1], 299x299 | features and logits of FID, KID and the Inception score |
| `vgg.VGG16` | `normalization.imagenet`, any size | maps of five layers; fc2 (224x224) for precision and recall |
| `alexnet.AlexNet`, `squeezenet.SqueezeNet` | `normalization.imagenet`, any size | maps of five and seven layers |
| `lpips.Lpips` | pairs, range as an argument | perceptual distances, whole, by layer and as maps |
| `mobilenet.MobileNetV2` | [-1, 1], 224x224 | 1,280 features, logits of ImageNet's classes; under its own name |
| `squeezenet.KerasSqueezeNet` | its own `preprocess` | maps of seven layers; under its own name |
"""
