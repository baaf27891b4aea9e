"""Signal tracks, a value a base."""

import numpy as np

from tfbind.channels.base import Array, Channel, Reader, Sources
from tfbind.errors import InputError

OVERFLOW = 65520.0
"""The least number that float16 rounds to infinity: half a step beyond its largest, 65,504."""


class SignalChannel(Channel):
    """A bigWig's values; a base that it does not cover is 0 before the transform."""

    blank = 0

    def reader(self, sources: Sources) -> Reader:
        """Read a signal by its name, rounded to the type that tiles hold."""
        signal = sources.signal(self.spec.name)
        find = sources.names(tuple(signal.sizes), signal.path).find
        found = {contig: find(contig) for contig in sources.genome.sizes}
        overflow = OVERFLOW if self.dtype == np.float16 else np.inf

        def read(contig: str, start: int, end: int) -> Array:
            there = found[contig]
            if there is None:
                return np.zeros(end - start, self.dtype)
            values = signal.values(there, start, end)
            if values.size and max(values.max(), -values.min()) >= overflow:
                at = int(np.argmax(np.abs(values)))
                raise InputError(
                    f"holds {values[at]:g} at {there}:{start + at + 1}, more than {self.dtype} "
                    "can hold; give --float32 to features",
                    path=signal.path,
                )
            return values.astype(self.dtype)

        return read

    def prepare(self, raw: Array) -> Array:
        """Transform and standardise, as float32."""
        values = raw.astype(np.float32)
        if self.spec.transform == "log1p":
            if values.size and values.min() <= -1:
                raise InputError(
                    f"signal {self.spec.name!r} holds {values.min():g}, expected more than -1 for "
                    "its transform log1p; train with --transform none, or give another track"
                )
            np.log1p(values, out=values)
        if self.spec.mean or self.spec.deviation != 1:
            values = (values - np.float32(self.spec.mean)) / np.float32(self.spec.deviation)
        return values
