"""Signal tracks, a value a base."""

from dataclasses import replace

import numpy as np

from tfbind.channels.base import Array, Channel, Reader, Sources, TrainingCells
from tfbind.contract import Distribution, Input
from tfbind.distribution import average, percentile, sampled, with_ranks_of
from tfbind.errors import InputError, RequestError

OVERFLOW = 65520.0
"""The least number that float16 rounds to infinity: half a step beyond its largest, 65,504."""

STEPS = ("rank", "clip", "percentile", "log1p", "zscore")
"""Of a transform, in the order in which they are taken."""


class SignalChannel(Channel):
    """A bigWig's values; a base that it does not cover is 0 before the transform."""

    blank = 0
    enters = "pooled"

    def reader(self, sources: Sources) -> Reader:
        """Read a signal by its name, rounded to the type that tiles hold."""
        signal = sources.signal(self.spec.name)
        sizes, names = sources.where(signal)
        found = {contig: names.find(contig) for contig in sizes}
        overflow = OVERFLOW if self.dtype == np.float16 else np.inf
        whole = sampled(signal, sizes, names) if self.spec.ranks else None
        if whole is not None and not whole.quantiles:
            raise InputError(
                "has no value other than 0, and so none to give a rank to, as the model does",
                path=signal.path,
            )

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
            return self.aligned(values.astype(self.dtype), whole)

        return read

    def aligned(self, raw: Array, found: Distribution | None) -> Array:
        """Give each value the one of its rank in the training cells, if the contract asks it."""
        if not self.spec.ranks or found is None:
            return raw
        return with_ranks_of(raw, found, self.spec.ranks)

    def prepare(self, raw: Array) -> Array:
        """Transform and standardise, as float32."""
        values = raw.astype(np.float32)
        if self.spec.clip is not None:
            np.minimum(values, np.float32(self.spec.clip), out=values)
        if self.spec.scale != 1:
            values /= np.float32(self.spec.scale)
        if self.spec.transform == "log1p":
            if values.size and values.min() <= -1:
                raise InputError(
                    f"signal {self.spec.name!r} holds {values.min():g}, expected more than -1 for "
                    "its transform log1p; train with --transform none, or give another track"
                )
            np.log1p(values, out=values)
        if self.spec.mean or self.spec.deviation != 1:
            values -= np.array(self.spec.mean, np.float32)
            values /= np.array(self.spec.deviation, np.float32)
        return values

    def fitted(self, training: TrainingCells, wanted: str) -> Input:
        """Fit the steps that are wanted, such as `percentile:99,log1p`, to the training cells."""
        steps = _steps(wanted or "log1p")
        spec = replace(self.spec, transform="log1p" if "log1p" in steps else "none")
        cells = tuple(training.distributions(spec.name))
        trained = average(cells)
        if "rank" in steps:
            if not all(one.quantiles for one in cells):
                raise InputError(
                    f"the signal {spec.name!r} has no value other than 0 in a training cell, and "
                    "so none to give a rank to; give another track, or leave rank out"
                )
            spec = replace(spec, ranks=trained.quantiles)
        if "clip" in steps:
            spec = replace(spec, clip=steps["clip"])
        if "percentile" in steps:
            scale = percentile(trained, steps["percentile"])
            if scale <= 0:
                raise InputError(
                    f"the percentile {steps['percentile']:g} of the signal {spec.name!r} is "
                    f"{scale:g}, expected more than 0 to divide by"
                )
            spec = replace(spec, scale=scale)
        spec = replace(spec, trained=cells)
        return _standardised(spec, training) if "zscore" in steps else spec


def _steps(wanted: str) -> dict[str, float]:
    """Read the steps of a transform, each with its number, or 0 if it takes none."""
    steps: dict[str, float] = {}
    for text in wanted.split(",") if wanted != "none" else []:
        name, colon, number = text.partition(":")
        if name in steps:
            raise RequestError(f"found {name} twice in the transform {wanted}")
        if name == "none":
            raise RequestError(f"found the transform {wanted}, but none stands alone")
        if name not in STEPS or bool(colon) != (name in ("clip", "percentile")):
            raise RequestError(
                f"found the transform {text!r}, expected none or some of rank, clip:VALUE, "
                "percentile:P, log1p, zscore"
            )
        if steps and STEPS.index(name) <= STEPS.index(list(steps)[-1]):
            raise RequestError(
                f"found {name} behind {list(steps)[-1]}; transforms are taken in the order "
                f"{', '.join(STEPS)}"
            )
        steps[name] = _number(name, number) if colon else 0.0
    return steps


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    most = 100 if name == "percentile" else np.inf
    if not 0 < value <= most or value == np.inf:
        raise RequestError(f"found {name}:{text}, expected a number over 0" + (
            " and up to 100" if name == "percentile" else ""
        ))  # fmt: skip
    return value


def _standardised(spec: Input, training: TrainingCells) -> Input:
    """Take mean and deviation of all bases under the training tiles."""
    channel = SignalChannel(spec)
    count, total, squares = 0, 0.0, 0.0
    for raw, found in training.values(spec.name):
        values = channel.prepare(channel.aligned(raw, found)).astype(np.float64)
        count += values.size
        total += float(values.sum())
        squares += float(np.square(values).sum())
    mean = total / max(count, 1)
    deviation = float(np.sqrt(max(squares / max(count, 1) - mean**2, 0.0)))
    return replace(spec, mean=mean, deviation=deviation or 1.0)
