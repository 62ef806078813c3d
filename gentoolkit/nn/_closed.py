"""Convolutions whose derivatives of every order are written down, and not left to XLA.

A convolution is linear in the input and in the kernel. So there are three maps: forward, its transpose in the input and
its transpose in the kernel; and the derivatives of each of them are the other two. XLA's own derivative of a strided
convolution's derivative is a convolution of a dilated input with a dilated kernel, a naive loop on CPU: a gradient
penalty through one layer took eight times as long.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import lax

Pair = tuple[int, int]
_LAYOUT = ("NHWC", "HWIO", "NHWC")


class Geometry(NamedTuple):
    """What is static in a convolution of `[b, h, w, ci]` with a kernel `[kh, kw, ci, co]`.

    Attributes:
      size: height and width of the input.
      kernel: height and width of the kernel.
      strides: vertical and horizontal.
      padding: rows of zeros above and below, columns left and right.
      precision: of the products, as `jax.lax` takes it.
    """

    size: Pair
    kernel: Pair
    strides: Pair
    padding: tuple[Pair, Pair]
    precision: lax.PrecisionLike = None

    @property
    def output(self) -> Pair:
        """Height and width of the output."""
        height, width = (
            (size + sum(pad) - kernel) // stride + 1
            for size, kernel, stride, pad in zip(self.size, self.kernel, self.strides, self.padding, strict=True)
        )
        return height, width


class Form(NamedTuple):
    """One way to compute the three maps.

    Attributes:
      forward: `(geometry, x, w)` to the output.
      to_input: `(geometry, g, w)` to what has the shape of the input.
      to_kernel: `(geometry, x, g)` to what has the shape of the kernel.
    """

    forward: Callable[[Geometry, jax.Array, jax.Array], jax.Array]
    to_input: Callable[[Geometry, jax.Array, jax.Array], jax.Array]
    to_kernel: Callable[[Geometry, jax.Array, jax.Array], jax.Array]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def forward(form: Form, geometry: Geometry, x: jax.Array, w: jax.Array) -> jax.Array:
    """The convolution."""
    return form.forward(geometry, x, w)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def to_input(form: Form, geometry: Geometry, g: jax.Array, w: jax.Array) -> jax.Array:
    """Its transpose in the input: a transposed convolution."""
    return form.to_input(geometry, g, w)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def to_kernel(form: Form, geometry: Geometry, x: jax.Array, g: jax.Array) -> jax.Array:
    """Its transpose in the kernel."""
    return form.to_kernel(geometry, x, g)


def _save(rule, form, geometry, a, b):
    return rule(form, geometry, a, b), (a, b)


def _forward_back(form, geometry, saved, g):
    x, w = saved
    return to_input(form, geometry, g, w), to_kernel(form, geometry, x, g)


def _to_input_back(form, geometry, saved, x):
    g, w = saved
    return forward(form, geometry, x, w), to_kernel(form, geometry, x, g)


def _to_kernel_back(form, geometry, saved, w):
    x, g = saved
    return to_input(form, geometry, g, w), forward(form, geometry, x, w)


forward.defvjp(functools.partial(_save, forward), _forward_back)
to_input.defvjp(functools.partial(_save, to_input), _to_input_back)
to_kernel.defvjp(functools.partial(_save, to_kernel), _to_kernel_back)


def plain(geometry: Geometry, x: jax.Array, w: jax.Array) -> jax.Array:
    """XLA's own convolution."""
    return lax.conv_general_dilated(
        x, w, geometry.strides, geometry.padding, dimension_numbers=_LAYOUT, precision=geometry.precision
    )


def plain_to_input(geometry: Geometry, g: jax.Array, w: jax.Array) -> jax.Array:
    """XLA's own transpose in the input."""
    x = jax.ShapeDtypeStruct((g.shape[0], *geometry.size, w.shape[2]), g.dtype)
    return jax.linear_transpose(lambda x: plain(geometry, x, w), x)(g)[0]


def plain_to_kernel(geometry: Geometry, x: jax.Array, g: jax.Array) -> jax.Array:
    """XLA's own transpose in the kernel."""
    w = jax.ShapeDtypeStruct((*geometry.kernel, x.shape[3], g.shape[3]), x.dtype)
    return jax.linear_transpose(lambda w: plain(geometry, x, w), w)(g)[0]


PLAIN = Form(plain, plain_to_input, plain_to_kernel)


def on_cpu(form: Form) -> Form:
    """A form for CPUs alone; other platforms get XLA's own, and compile nothing else."""
    return Form(*(_on_cpu(fast, slow) for fast, slow in zip(form, PLAIN, strict=True)))


def _on_cpu(fast, slow):
    def choose(geometry, a, b):
        return lax.platform_dependent(
            a, b, cpu=functools.partial(fast, geometry), default=functools.partial(slow, geometry)
        )

    return choose
