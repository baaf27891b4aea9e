"""Layers with which a network reads any stretch of genome at once.

A window-wise network pools the map of a window in steps of P, flattens the R pooled rows and
multiplies them. For bins that lie S apart the pools are found once for all of them: with
g = gcd(P, S), pool with width P in steps of g; bin n then owns the rows n*S/g + k*P/g for k < R.
This is exact for any P. The map of one window gives one bin, so a network also scores windows.
"""

from collections.abc import Sequence
from math import gcd
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tfbind.genome import UNKNOWN

register = keras.saving.register_keras_serializable(package="tfbind")


@register
class OneHot(keras.layers.Layer):  # type: ignore[misc]
    """Base codes, shape (batch, bases), to one-hot rows, shape (batch, bases, 4).

    The unknown base becomes a row of zeros.
    """

    def call(self, codes: Any) -> Any:
        """Look each code up in a table of five rows."""
        table = ops.eye(UNKNOWN + 1, UNKNOWN, dtype=self.compute_dtype)
        return ops.take(table, ops.cast(codes, "int32"), axis=0)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Add the axis of the four bases."""
        return (*shape, UNKNOWN)


class _Constant(keras.layers.Layer):  # type: ignore[misc]
    """A layer with numbers that are not learnt: they come from a channel, or a saved file."""

    def _keep(self, name: str, shape: tuple[int, ...], numbers: npt.ArrayLike | None) -> Any:
        values = np.zeros(shape, np.float32) if numbers is None else np.asarray(numbers)
        return self.add_weight(
            name=name, shape=shape, trainable=False, initializer=lambda *_, **__: values
        )


@register
class KmerRows(_Constant):
    """A row from a table for each k-mer: (batch, bases) to (batch, bases - k + 1, channels).

    Parameters
    ----------
    width : int
        The k.
    channels : int
    table : ndarray, shape (5**k, channels), optional
        By the k-mer's codes as digits; a saved network brings its own.
    """

    def __init__(
        self, width: int, channels: int, table: npt.ArrayLike | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.width, self.channels = width, channels
        self.table = self._keep("table", ((UNKNOWN + 1) ** width, channels), table)

    @property
    def digits(self) -> list[int]:
        """What the code of each base of a k-mer counts."""
        return [(UNKNOWN + 1) ** place for place in range(self.width)][::-1]

    def call(self, codes: Any) -> Any:
        """Look up the row of each k-mer."""
        codes = ops.cast(codes, "int32")
        rows = ops.shape(codes)[1] - self.width + 1
        number = sum(codes[:, i : i + rows] * digit for i, digit in enumerate(self.digits))
        return ops.take(self.table, number, axis=0)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Count the k-mers."""
        batch, bases = shape
        return (batch, None if bases is None else bases - self.width + 1, self.channels)

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), width=self.width, channels=self.channels)


@register
class BothStrands(_Constant):
    """The better score of two strands: (batch, bases, 4) to (batch, bases - width + 1, motifs).

    Parameters
    ----------
    motifs, width : int
    matrices : pair of ndarray, each of shape (motifs, width, 4), optional
        Of the forward and of the reverse strand; a saved network brings its own.
    """

    def __init__(
        self, motifs: int, width: int, matrices: Sequence[Any] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.motifs, self.width = motifs, width
        strands = [None, None] if matrices is None else [_kernel(one) for one in matrices]
        shape = (width, UNKNOWN, motifs)
        self.forward = self._keep("forward", shape, strands[0])
        self.reverse = self._keep("reverse", shape, strands[1])

    def call(self, rows: Any) -> Any:
        """Slide both matrices of each motif, and keep the maximum."""
        return ops.maximum(*(ops.conv(rows, one) for one in (self.forward, self.reverse)))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Count the places."""
        batch, bases, _ = shape
        return (batch, None if bases is None else bases - self.width + 1, self.motifs)

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), motifs=self.motifs, width=self.width)


def _kernel(matrices: Any) -> npt.NDArray[np.float32]:
    return np.asarray(matrices, np.float32).transpose(1, 2, 0)


@register
class PerBin(keras.layers.Layer):  # type: ignore[misc]
    """Give a vector to each bin: (batch, 1, values) and (batch, bins, c) to (batch, bins, values).

    The second tensor only tells how many bins there are.
    """

    def call(self, ends: Sequence[Any]) -> Any:
        """Repeat the vector."""
        vector, bins = ends
        return ops.repeat(vector, ops.shape(bins)[1], axis=1)

    def compute_output_shape(
        self, shapes: Sequence[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        """Take the count of bins from the second."""
        (batch, _, values), (_, bins, _) = shapes
        return (batch, bins, values)


@register
class AtrousMaxPool(keras.layers.Layer):  # type: ignore[misc]
    """Maxima over `pool` rows, 'valid', in steps that every bin's own pools fall on.

    Parameters
    ----------
    pool : int
        Width of a pool, rows.
    stride : int
        From one bin to the next, rows of the map that is pooled.
    """

    def __init__(self, pool: int, stride: int, **options: Any) -> None:
        super().__init__(**options)
        self.pool, self.stride = pool, stride
        self.step = gcd(pool, stride)

    def call(self, rows: Any) -> Any:
        """Pool rows of shape (batch, rows, channels)."""
        return ops.max_pool(rows, self.pool, strides=self.step, padding="valid")

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), pool=self.pool, stride=self.stride)


@register
class BinRows(keras.layers.Layer):  # type: ignore[misc]
    """Gather the pooled rows of each bin, flattened: (batch, rows, c) to (batch, bins, R*c).

    Behind `AtrousMaxPool`, or with a pool of 1 behind any map that has a row a base.

    Parameters
    ----------
    pool : int
        Width of the pools that made the rows.
    stride : int
        From one bin to the next, rows of the map that was pooled.
    width : int
        Rows of that map in one window.
    """

    def __init__(self, pool: int, stride: int, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.pool, self.stride, self.width = pool, stride, width
        step = gcd(pool, stride)
        self.count = (width - pool) // pool + 1
        self.step, self.dilation = stride // step, pool // step
        self.one = (width - pool) // step + 1

    def call(self, rows: Any) -> Any:
        """Gather, bin after bin, each bin's rows in order."""
        shape = ops.shape(rows)
        # Rows behind the last bin's own are left over where the pools do not fill the window.
        bins = (shape[1] - self.one) // self.step + 1
        firsts = ops.expand_dims(ops.arange(bins) * self.step, 1)
        index = firsts + ops.expand_dims(ops.arange(self.count) * self.dilation, 0)
        channels = rows.shape[-1]
        taken = ops.take(rows, ops.reshape(index, (-1,)), axis=1)
        return ops.reshape(taken, (shape[0], bins, self.count * channels))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Count the bins and the features of each."""
        batch, rows, channels = shape
        bins = None if rows is None else (rows - self.one) // self.step + 1
        return (batch, bins, None if channels is None else self.count * channels)

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        own = {"pool": self.pool, "stride": self.stride, "width": self.width}
        return dict(super().get_config(), **own)
