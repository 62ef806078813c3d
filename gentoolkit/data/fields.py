"""What the columns of a data set hold: how each kind is put into a batch, mirrored, cropped and scaled.

| kind | one item | moves with the picture |
|---|---|---|
| `Field` | numbers of any shape | no |
| `Label` | a class, `()` int32, with the names of the classes | no |
| `Image` | `[h, w, c]` uint8 | yes; bytes are scaled to a range |
| `Mask` | `[h, w]` integers or bool, one class or one object | yes; never scaled |
| `Boxes` | `[4]`: left, top, right, bottom, as fractions of the picture | yes |
| `Tokens` | one int32, of a text of variable length | no |
| `Sound` | one sample, or one of each channel | no; int16 is scaled to [-1, 1) |

A field with a `max_length` holds a variable number of items in each example; its column in a batch is a `Ragged`.
Another kind is a subclass that says what differs, wherever it is written: nothing here has a list of all kinds.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Range = tuple[float, float] | None


class Ragged(NamedTuple):
    """A column whose examples hold different numbers of items, padded to one shape.

    Attributes:
      values: `[b, max_length, ...]`, zero beyond the length of an example.
      lengths: `[b]` int32.
    """

    values: Any
    lengths: Any

    @property
    def valid(self) -> Any:
        """`[b, max_length]` bool: which items are there, and not padding."""
        return np.arange(self.values.shape[1]) < self.lengths[:, None]


Column = np.ndarray | Ragged


def rows(column: Column, index: Any) -> Column:
    """The rows of a column at an index, slice or array of indices."""
    if isinstance(column, Ragged):
        return Ragged(column.values[index], column.lengths[index])
    return column[index]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """Numbers that no change of the picture touches; the base of the other kinds.

    Attributes:
      shape: of one item.
      dtype: in which items are kept.
      max_length: None for one item in each example; otherwise an example holds any number of items up to this one.

    Raises:
      ValueError: a shape or length that cannot be.
    """

    shape: tuple[int, ...] = ()
    dtype: Any = np.float32
    max_length: int | None = None

    def __post_init__(self):
        """Checks what can be checked without data."""
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        if min(self.shape, default=1) < 1:
            raise ValueError(f"shape must be positive, got shape = {self.shape}.")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length must be >= 1 or None, got max_length = {self.max_length}.")

    def empty(self, num: int) -> Any:
        """A column of `num` rows of zeros, without any item where their number varies."""
        if self.max_length is None:
            return np.zeros((num, *self.shape), self.dtype)
        return Ragged(np.zeros((num, self.max_length, *self.shape), self.dtype), np.zeros(num, np.int32))

    def stack(self, values: Any, *, name: str, indices: Sequence[int] | np.ndarray) -> Column:
        """Makes a column of a batch.

        Args:
          values: one value for each example, as an array, a `Ragged` or a list.
          name: of the column, for errors.
          indices: which examples these are, for errors.

        Returns:
          `[b, *shape]`, or a `Ragged` of `[b, max_length, *shape]`, in the field's dtype.

        Raises:
          ValueError: a value of another shape, longer than `max_length`, or beyond the range of the dtype.
          TypeError: numbers of another kind, such as fractions where bytes are kept.
        """
        if self.max_length is None:
            if not isinstance(values, np.ndarray):
                values = self._stacked(values, name, indices)
            elif values.shape[1:] != self.shape:
                raise self._misfit(name, indices[0] if len(indices) else 0, values.shape[1:])
            return self._cast(values, name)
        if isinstance(values, Ragged):
            wanted = (len(values.lengths), self.max_length, *self.shape)
            if values.values.shape != wanted:
                raise ValueError(f"The values of {name} must be {wanted}, got {values.values.shape}.")
            if len(values.lengths) and not 0 <= np.min(values.lengths) <= np.max(values.lengths) <= self.max_length:
                raise ValueError(f"The lengths of {name} must lie in [0, {self.max_length}].")
            return Ragged(self._cast(values.values, name), np.asarray(values.lengths, np.int32))
        column = self.empty(len(values))
        for row, (value, index) in enumerate(zip(values, indices, strict=True)):
            items = np.asarray(value) if np.size(value) else np.zeros((0, *self.shape), self.dtype)
            if items.shape[1:] != self.shape or not items.ndim:
                raise self._misfit(name, index, items.shape)
            if len(items) > self.max_length:
                raise ValueError(
                    f"{name} of example {index} has {len(items)} items, more than max_length = {self.max_length}."
                )
            column.values[row, : len(items)] = self._cast(items, name)
            column.lengths[row] = len(items)
        return column

    def flip(self, column: Column, flipped: np.ndarray) -> Column:
        """Mirrors the rows where `flipped`, `[b]` bool, is true, left to right."""
        return column

    def cropped(self, size: tuple[int, int]) -> "Field":
        """The field of what `crop` returns."""
        return self

    def crop(
        self, column: Column, top: np.ndarray, left: np.ndarray, size: tuple[int, int], whole: tuple[int, int]
    ) -> Column:
        """Cuts a window out of each row.

        Args:
          column: a column of this field.
          top: `[b]`, the first row of pixels kept.
          left: `[b]`, the first column of pixels kept.
          size: height and width of the window.
          whole: height and width of the pictures.

        Returns:
          A column of the field `cropped(size)`.
        """
        return column

    def scale(self, column: Any, image_range: Range) -> Any:
        """Brings stored numbers to the range that networks take; NumPy and jax arrays alike."""
        return column

    def _stacked(self, values: Any, name: str, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        if not len(values):
            return self.empty(0)
        for value, index in zip(values, indices, strict=True):
            if np.shape(value) != self.shape:
                raise self._misfit(name, index, np.shape(value))
        return np.stack([np.asarray(value) for value in values])

    def _misfit(self, name: str, index: int, shape: tuple[int, ...]) -> ValueError:
        wanted = self.shape if self.max_length is None else ("any", *self.shape)
        return ValueError(f"{name} of example {index} has shape {shape}, but its field says {wanted}.")

    def _cast(self, array: np.ndarray, name: str) -> np.ndarray:
        if array.dtype == self.dtype:
            return array
        if not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise TypeError(f"{name} holds {array.dtype}, but its field keeps {self.dtype}.")
        cast = array.astype(self.dtype)
        if self.dtype.kind in "iu" and not np.array_equal(cast, array):
            raise ValueError(f"{name} holds numbers beyond the range of {self.dtype}.")
        return cast


@dataclasses.dataclass(frozen=True, kw_only=True)
class Label(Field):
    """A class.

    Attributes:
      class_names: the name of each class, or empty.
    """

    dtype: Any = np.int32
    class_names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokens(Field):
    """A text as numbers of words or of parts of words; `max_length` is to be given. Zero is padding."""

    dtype: Any = np.int32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sound(Field):
    """Samples of sound; `shape` is `()`, or `(channels,)`.

    Attributes:
      rate: samples in a second.
    """

    dtype: Any = np.int16
    rate: int = 16000

    def scale(self, column: Any, image_range: Range) -> Any:
        """Divides int16 by 32768, unless stored numbers are wanted (`image_range=None`)."""
        if image_range is None or self.dtype != np.int16:
            return column
        if self.max_length is None:
            return column / np.float32(32768)
        return Ragged(column.values / np.float32(32768), column.lengths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Picture(Field):
    """What has a height and a width."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[0], self.shape[1]

    def cropped(self, size: tuple[int, int]) -> "Field":
        """The field of what `crop` returns."""
        return dataclasses.replace(self, shape=(*size, *self.shape[2:]))

    def flip(self, column: Column, flipped: np.ndarray) -> Column:
        """Mirrors the rows where `flipped`, `[b]` bool, is true, left to right."""

        def mirror(values):
            which = flipped.reshape(-1, *[1] * (values.ndim - 1))
            return np.where(which, np.flip(values, 1 - len(self.shape)), values)

        return self._each(mirror, column)

    def crop(
        self, column: Column, top: np.ndarray, left: np.ndarray, size: tuple[int, int], whole: tuple[int, int]
    ) -> Column:
        """Cuts a window out of each row."""

        def cut(values):
            ragged = (slice(None),) * (values.ndim - 1 - len(self.shape))
            windows = zip(values, top, left, strict=True)
            cuts = [value[(*ragged, slice(y, y + size[0]), slice(x, x + size[1]))] for value, y, x in windows]
            return np.stack(cuts) if cuts else self.cropped(size).empty(0)

        return self._each(cut, column)

    @staticmethod
    def _each(function, column: Column) -> Column:
        if isinstance(column, Ragged):
            return Ragged(function(column.values), column.lengths)
        return function(column)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image(_Picture):
    """A picture `(h, w, c)`."""

    dtype: Any = np.uint8

    def __post_init__(self):
        """Checks the shape."""
        super().__post_init__()
        if len(self.shape) != 3:
            raise ValueError(f"The shape of an image must be (height, width, channels), got shape = {self.shape}.")

    def scale(self, column: Any, image_range: Range) -> Any:
        """Maps bytes to float32, 0 and 255 to the ends of `image_range`; None, and images of other types, stay."""
        if image_range is None or self.dtype != np.uint8:
            return column
        return self._each(lambda values: _from_bytes(values, image_range), column)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mask(_Picture):
    """A class or an object for every pixel, `(h, w)`; as many masks as objects where there is a `max_length`."""

    dtype: Any = np.uint8

    def __post_init__(self):
        """Checks the shape."""
        super().__post_init__()
        if len(self.shape) != 2 or self.dtype.kind not in "iub":
            raise ValueError(
                f"A mask must be (height, width) of integers or bool, got {self.shape} of {self.dtype.name}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Boxes(Field):
    """Rectangles: left, top, right, bottom, as fractions of the width and height of the picture."""

    shape: tuple[int, ...] = (4,)

    def flip(self, column: Column, flipped: np.ndarray) -> Column:
        """Mirrors the rows where `flipped`, `[b]` bool, is true, left to right."""

        def mirror(values):
            left, top, right, bottom = np.moveaxis(values, -1, 0)
            which = flipped.reshape(-1, *[1] * (values.ndim - 1))
            return np.where(which, np.stack([1 - right, top, 1 - left, bottom], axis=-1), values)

        return self._each(mirror, column)

    def crop(
        self, column: Column, top: np.ndarray, left: np.ndarray, size: tuple[int, int], whole: tuple[int, int]
    ) -> Column:
        """Moves boxes into each row's window; what lies outside is cut off, down to a box without area."""

        def cut(values):
            first = np.stack([left, top, left, top], axis=-1).reshape(-1, *[1] * (values.ndim - 2), 4)
            scale, window = (np.array([w, h, w, h], np.float64) for h, w in (whole, size))
            return np.clip((values * scale - first) / window, 0, 1).astype(self.dtype)

        return self._each(cut, column)

    @staticmethod
    def _each(function, column: Column) -> Column:
        if not isinstance(column, Ragged):
            return function(column)
        return Ragged(np.where(column.valid[..., None], function(column.values), 0), column.lengths)


def _from_bytes(values: Any, image_range: tuple[float, float]) -> Any:
    low, high = image_range
    # Divided, not multiplied by the rounded 1 / 255: so 255 becomes exactly `high`.
    scaled = values / np.float32(255)
    if (low, high) != (0, 1):
        scaled = scaled * np.float32(high - low) + np.float32(low)
    # A compiler multiplies by 1 / 255 all the same, and may end one bit beyond.
    return scaled if isinstance(values, np.ndarray) else scaled.clip(low, high)
