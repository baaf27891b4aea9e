"""A map along the genome, convolved and pooled as if each window had a map of its own.

A window-wise network convolves a window, pools the map in steps, convolves the pooled rows, and so
on. Here that is done for all bins at once: `Rows` knows how far apart the rows lie that belong to
one bin, so a convolution is dilated by as much and a pool takes its rows from so far apart. What
several bins share is computed once, for any widths of pools and any stride, and exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any, Self

from keras import layers

from tfbind.errors import InputError
from tfbind.networks.layers import AtrousMaxPool, AtrousMeanPool, BinRows, joined


@dataclass(frozen=True)
class Rows:
    """A map, and which of its rows are a bin's own.

    Bin n owns the rows n*stride/step + k*gap for k < width.

    Attributes
    ----------
    tensor : KerasTensor, shape (batch, rows, channels)
    stride : int
        From one bin to the next, base pairs.
    width : int
        A bin's own rows.
    held : int
        Rows of the map of a single window: its bin's own, those between them and those behind.
    step : int
        From one row of the map to the next, base pairs; it divides the stride.
    gap : int
        From one of a bin's own rows to the next, rows of the map.
    """

    tensor: Any
    stride: int
    width: int
    held: int
    step: int = 1
    gap: int = 1

    @classmethod
    def of(cls, tensor: Any, width: int, stride: int) -> Self:
        """Take a map that has a row a base; `width` of them lie under a window."""
        return cls(tensor, stride, width, width)

    def convolved(self, filters: int, width: int, *, dilation: int = 1, **options: Any) -> "Rows":
        """Convolve with 'valid' padding, which takes (width - 1) * dilation rows.

        Parameters
        ----------
        filters, width, dilation : int
            As those of one window's own network.
        options
            Of `keras.layers.Conv1D`.

        Raises
        ------
        InputError
            If a bin has fewer rows than the convolution looks at.
        """
        lost = (width - 1) * dilation
        self._require(lost + 1, f"a convolution {lost + 1} rows wide")
        made = layers.Conv1D(filters, width, dilation_rate=dilation * self.gap, **options)
        return replace(
            self,
            tensor=made(self.tensor),
            width=self.width - lost,
            held=self.held - lost * self.gap,
        )

    def thinned(self, filters: int, width: int, every: int, **options: Any) -> "Rows":
        """Convolve a map that has a row a base, 'valid', and keep a row in `every` bases.

        Parameters
        ----------
        filters, width : int
        every : int
            A divisor of the stride.
        options
            Of `keras.layers.Conv1D`.
        """
        self._require(width, f"a convolution {width} rows wide")
        left = (self.width - width) // every + 1
        made = layers.Conv1D(filters, width, strides=every, **options)
        return Rows(made(self.tensor), self.stride, left, left, step=every)

    def pooled(self, width: int, *, mean: bool = False) -> "Rows":
        """Give the maximum, or the mean, of each `width` rows; a rest at the end is dropped.

        Raises
        ------
        InputError
            If a bin has fewer rows than that.
        """
        self._require(width, f"a pool of {width} rows")
        left = self.width // width
        # A row is needed wherever a bin's own may lie; of a single one, wherever a bin begins.
        apart = width * self.gap * self.step
        step = self.stride if left == 1 else gcd(apart, self.stride)
        pool = AtrousMeanPool if mean else AtrousMaxPool
        made = pool(width, self.stride // self.step, self.gap, step // self.step)
        held = (self.held - (width - 1) * self.gap - 1) // made.step + 1
        gap = 1 if left == 1 else apart // step
        return Rows(made(self.tensor), self.stride, left, held, step, gap)

    def through(self, *stack: Callable[[Any], Any]) -> "Rows":
        """Apply layers that treat each row by itself: rectifiers, normalisation, dropout."""
        tensor = self.tensor
        for layer in stack:
            tensor = layer(tensor)
        return replace(self, tensor=tensor)

    def middle(self, width: int) -> "Rows":
        """Give the middle `width` of a bin's own rows; of an odd rest, one more is cut behind."""
        self._require(width, f"a middle of {width} rows")
        lost = self.width - width
        before, behind = lost // 2 * self.gap, (lost - lost // 2) * self.gap
        tensor = layers.Cropping1D((before, behind))(self.tensor) if lost else self.tensor
        return replace(self, tensor=tensor, width=width, held=self.held - lost * self.gap)

    def plus(self, other: "Rows") -> "Rows":
        """Add the middle rows of a map from which this one was made by convolutions alone.

        It must have as many channels.

        Raises
        ------
        ValueError
            If its rows lie elsewhere.
        """
        middle = other.middle(self.width)
        _require_alike([self, middle])
        return replace(self, tensor=layers.Add()([self.tensor, middle.tensor]))

    def flattened(self) -> Any:
        """Give each bin its own rows, one behind the other: (batch, bins, width * channels)."""
        bins = BinRows(1, self.stride // self.step, self.width, self.gap, self.held)
        return bins(self.tensor)

    def highest(self) -> Any:
        """Give each bin the maximum over its own rows: (batch, bins, channels)."""
        return self.pooled(self.width).flattened()

    def mean(self) -> Any:
        """Give each bin the mean over its own rows: (batch, bins, channels)."""
        return self.pooled(self.width, mean=True).flattened()

    def _require(self, rows: int, what: str) -> None:
        if rows > self.width:
            raise InputError(
                f"the window is too small for this network: {what} finds {self.width}; make tiles "
                "with a larger --window, or give smaller sizes"
            )


def beside(parts: Sequence[Rows]) -> Rows:
    """Put the channels of maps of the same rows beside each other.

    Raises
    ------
    ValueError
        If their rows lie elsewhere.
    """
    _require_alike(parts)
    return replace(parts[0], tensor=joined([one.tensor for one in parts]))


def _require_alike(maps: Sequence[Rows]) -> None:
    places = {(one.stride, one.step, one.gap, one.width) for one in maps}
    if len(places) > 1:
        raise ValueError(f"maps of other rows: (stride, step, gap, width) of {sorted(places)}")
