"""Layers with which a network reads any stretch of genome at once.

A window-wise network pools the map of a window in steps of P, flattens the R pooled rows and
multiplies them. For bins that lie S apart the pools are found once for all of them: with
g = gcd(P, S), pool with width P in steps of g; bin n then owns the rows n*S/g + k*P/g for k < R.
This is exact for any P. The map of one window gives one bin, so a network also scores windows.
"""

from math import gcd
from typing import Any

import keras
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
