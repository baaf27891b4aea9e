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


def joined(parts: Sequence[Any]) -> Any:
    """Put features of the same bins, or rows of the same bases, behind each other."""
    return keras.layers.Concatenate()(list(parts)) if len(parts) > 1 else parts[0]


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
class Kept(keras.layers.Layer):  # type: ignore[misc]
    """Blank all of a window but some stretches: base codes become unknown, rows and values 0.

    Parameters
    ----------
    stretches : sequence of (int, int)
        The first base of each, and the one behind its last.
    """

    def __init__(self, stretches: Sequence[tuple[int, int]], **options: Any) -> None:
        super().__init__(dtype=options.pop("dtype", None), **options)
        self.stretches = [tuple(one) for one in stretches]

    def call(self, values: Any) -> Any:
        """Keep values, shape (batch, window) or (batch, window, channels), where a stretch is."""
        blank = ops.cast(self.blank(keras.backend.standardize_dtype(values.dtype)), values.dtype)
        keep = self.kept(values.shape[1])[None]
        return ops.where(keep if len(values.shape) == 2 else keep[..., None], values, blank)

    def kept(self, window: int) -> npt.NDArray[np.bool_]:
        """Tell which bases of a window are kept, shape (window,)."""
        places = np.arange(window)
        inside = [(places >= first) & (places < last) for first, last in self.stretches]
        return np.asarray(np.any(inside, axis=0))

    @staticmethod
    def blank(dtype: str) -> int:
        """Give what stands for a base that is not kept."""
        return UNKNOWN if dtype == "uint8" else 0

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), stretches=self.stretches)


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
class GroupedDense(keras.layers.Layer):  # type: ignore[misc]
    """A dense layer for each group of neighbouring features: (batch, bins, groups * n) to units.

    Parameters
    ----------
    groups, units : int
        Groups, and units of each.
    """

    def __init__(self, groups: int, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.groups, self.units = groups, units

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights: each group begins as a dense layer of its own would."""
        features = int(shape[-1] or 0) // self.groups
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.groups, features, self.units),
            initializer=glorot(features, self.units),
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.groups, self.units), initializer="zeros"
        )

    def call(self, features: Any) -> Any:
        """Multiply each group by its own matrix."""
        batch, bins, count = ops.shape(features)
        grouped = ops.reshape(features, (batch, bins, self.groups, count // self.groups))
        given = ops.einsum("bngi,gio->bngo", grouped, self.kernel) + self.bias
        return ops.reshape(given, (batch, bins, self.groups * self.units))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Count the units of all groups."""
        return (*shape[:-1], self.groups * self.units)

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), groups=self.groups, units=self.units)


def glorot(features: int, units: int) -> keras.initializers.Initializer:
    """Give the uniform start of Glorot and Bengio (2010) for a matrix within a larger one."""
    limit = (6 / (features + units)) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)


@register
class AtrousMaxPool(keras.layers.Layer):  # type: ignore[misc]
    """Maxima over `pool` rows, 'valid', in steps that every bin's own pools fall on.

    Parameters
    ----------
    pool : int
        Width of a pool, in a bin's own rows.
    stride : int
        From one bin to the next, rows of the map that is pooled.
    gap : int
        From one of a bin's own rows to the next, rows of the map that is pooled.
    step : int, optional
        From one pool to the next, rows; default: the greatest that all pools of all bins fall on.
        Where a bin has one pool only, it may be the stride.
    """

    def __init__(
        self, pool: int, stride: int, gap: int = 1, step: int | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.pool, self.stride, self.gap = pool, stride, gap
        self.step = gcd(pool * gap, stride) if step is None else step

    def call(self, rows: Any) -> Any:
        """Pool rows of shape (batch, rows, channels)."""
        if self.gap == 1:
            return ops.max_pool(rows, self.pool, strides=self.step, padding="valid")
        # Keras pools have no dilation. The maximum over n rows and that over n others, which may
        # be partly the same, is that over both: the width doubles each time.
        width = 1
        while width < self.pool:
            more = min(width, self.pool - width)
            rows = ops.maximum(rows[:, : -more * self.gap], rows[:, more * self.gap :])
            width += more
        return rows[:, :: self.step]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Count the pools."""
        batch, rows, channels = shape
        pools = None if rows is None else (rows - (self.pool - 1) * self.gap - 1) // self.step + 1
        return (batch, pools, channels)

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        own = {"pool": self.pool, "stride": self.stride, "gap": self.gap, "step": self.step}
        return dict(super().get_config(), **own)


@register
class AtrousMeanPool(AtrousMaxPool):
    """Means over `pool` rows, else as `AtrousMaxPool`."""

    def call(self, rows: Any) -> Any:
        """Pool rows of shape (batch, rows, channels)."""
        if self.gap == 1:
            return ops.average_pool(rows, self.pool, strides=self.step, padding="valid")
        last = (self.pool - 1) * self.gap
        shifted = (
            rows[:, shift : ops.shape(rows)[1] - last + shift]
            for shift in range(0, last + 1, self.gap)
        )
        return (sum(shifted) / self.pool)[:, :: self.step]


@register
class BinRows(keras.layers.Layer):  # type: ignore[misc]
    """Gather the pooled rows of each bin, flattened: (batch, rows, c) to (batch, bins, R*c).

    Behind a pool of the same `pool`, `stride` and `gap`, or with a pool of 1 behind any map whose
    rows no two bins could do without.

    Parameters
    ----------
    pool : int
        Width of the pools that made the rows, in a bin's own rows.
    stride : int
        From one bin to the next, rows of the map that was pooled.
    width : int
        A bin's own rows of that map.
    gap : int
        From one of them to the next, rows of that map.
    held : int, optional
        Rows that the map of a single window has, with those that are of no use to its bin;
        default: no more than its bin uses.
    """

    def __init__(
        self,
        pool: int,
        stride: int,
        width: int,
        gap: int = 1,
        held: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.pool, self.stride, self.width, self.gap = pool, stride, width, gap
        self.held = (width - 1) * gap + 1 if held is None else held
        step = gcd(pool * gap, stride)
        self.count = width // pool
        self.step, self.dilation = stride // step, pool * gap // step
        self.one = (self.held - (pool - 1) * gap - 1) // step + 1

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
        return dict(super().get_config(), **own, gap=self.gap, held=self.held)


@register
class Flanks(keras.layers.Layer):  # type: ignore[misc]
    """Put rows of one value before and behind a window: (batch, rows, c) to (batch, more, c).

    Parameters
    ----------
    before, behind : int
        Rows.
    value : float
        0: nothing; of a one-hot base 0.25: any base.
    """

    def __init__(self, before: int, behind: int, value: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.before, self.behind, self.value = before, behind, value

    def call(self, rows: Any) -> Any:
        """Pad."""
        widths = ((0, 0), (self.before, self.behind), (0, 0))
        return ops.pad(rows, widths, constant_values=self.value)

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        own = {"before": self.before, "behind": self.behind, "value": self.value}
        return dict(super().get_config(), **own)
