"""Models that were not made here: a contract from what a user says and the graph tells."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tfbind.channels import channel
from tfbind.contract import (
    NAME,
    Blank,
    Contract,
    Geometry,
    Input,
    Layout,
    Order,
    Tensor,
    Transform,
)
from tfbind.errors import InputError
from tfbind.tensors import (
    BASES,
    GraphValue,
    channels_of,
    fit,
    in_batches,
    shape_text,
    stacked,
)

if TYPE_CHECKING:
    from tfbind.runtime import Runtime

SEQUENCE = "sequence"
"""The name of the input that is made from the genome."""

CODES = "codes"
STRIDE, SIZE = 50, 200
"""Of the bins that `tfbind bin` writes unless told otherwise."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Foreign:
    """What is said of a model that has no contract; what its graph tells need not be said.

    Attributes
    ----------
    window : int, optional
        Base pairs that the graph takes.
    stride : int, optional
        From one window to the next, base pairs: each gives one bin its scores.
    step : int, optional
        From one bin to the next, base pairs: each window gives several bins their scores.
    size : int, optional
        Of a bin, base pairs; default: the step; or else 200, or, in windows no longer, the stride.
    inputs : tuple of str
        `NAME=PART+PART`: the parts that are the channels of one graph input; without NAME if the
        graph has only one. A part is an order of ACGT, one-hot (`ACGT:quarter`: 0.25 in each where
        the base is unknown), or `codes` (A 0, C 1, G 2, T 3, other 4), or a signal: `NAME`,
        `NAME:log1p`, `NAME:MEAN:SD` or `NAME:log1p:MEAN:SD`. Default: the sequence.
    layout : 'channels-last' or 'channels-first', optional
    output : str
        Of several, the graph's output to take.
    tasks : tuple of str
        Names of the scores of a bin.

    Raises
    ------
    InputError
        If it contradicts itself.
    """

    window: int | None = None
    stride: int | None = None
    step: int | None = None
    size: int | None = None
    inputs: tuple[str, ...] = ()
    layout: Layout | None = None
    output: str = ""
    tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.stride is not None and self.step is not None:
            raise InputError(
                "found both --stride and --step, expected --stride where a window gives one bin "
                "its scores, or --step where it gives several"
            )
        for name in self.tasks:
            if not NAME.fullmatch(name) or self.tasks.count(name) > 1:
                raise InputError(
                    f"found the task name {name!r}, expected different names of letters, digits "
                    "and . _ + -"
                )
        self.stacks()

    def stacks(self) -> dict[str, "Stack"]:
        """Read the parts of each graph input, by its name; by an empty one where none is said."""
        stacks: dict[str, Stack] = {}
        for text in self.inputs:
            name, _, parts = text.rpartition("=")
            if name in stacks or (stacks and not (name and all(stacks))):
                raise InputError(f"found --input {text!r}, expected NAME=PARTS, each name once")
            stacks[name] = read_parts(parts)
        return stacks


@dataclass(frozen=True)
class Stack:
    """The channels of one graph input.

    Attributes
    ----------
    inputs : tuple of Input
    bases : str
        The order of one-hot channels; empty for codes.
    """

    inputs: tuple[Input, ...]
    bases: str = ""


def read_parts(text: str) -> Stack:
    """Read `PART+PART`.

    Raises
    ------
    InputError
        If a part is nothing that can be made, or comes twice.
    """
    inputs: list[Input] = []
    bases = ""
    for part in text.split("+"):
        head, *rest = part.split(":")
        if sorted(head.upper()) == list(BASES) and rest in ([], ["quarter"]):
            bases = head.upper()
            blank: Blank = "quarter" if rest else "zero"
            inputs.append(Input(SEQUENCE, "sequence", "uint8", blank=blank))
        elif head == CODES and not rest:
            inputs.append(Input(SEQUENCE, "sequence", "uint8"))
        else:
            inputs.append(_signal(head, rest, part))
    if len({spec.name for spec in inputs}) < len(inputs):
        raise InputError(f"found {text!r}, expected each part once")
    return Stack(tuple(inputs), bases)


def _signal(name: str, rest: list[str], part: str) -> Input:
    log1p = rest[:1] == ["log1p"]
    try:
        numbers = [float(one) for one in rest[log1p:]]
        mean, deviation = numbers or (0.0, 1.0)
    except ValueError:
        mean = deviation = math.nan
    if not (NAME.fullmatch(name) and name != SEQUENCE and math.isfinite(mean) and deviation > 0):
        raise InputError(
            f"found the part {part!r}, expected an order of ACGT, perhaps with :quarter behind it, "
            "codes, or a signal: NAME, NAME:log1p, NAME:MEAN:SD or NAME:log1p:MEAN:SD"
        )
    transform: Transform = "log1p" if log1p else "none"
    return Input(name, "signal", "float32", transform, mean, deviation)


def graph_text(runtime: "Runtime") -> str:
    """Write what a graph takes and gives, for a message."""
    takes, gives = (", ".join(map(shape_text, some)) for some in (runtime.inputs, runtime.outputs))
    return f"it takes {takes} and gives {gives}"


def contract_of(foreign: Foreign, runtime: "Runtime") -> Contract:
    """Make the contract of a graph from what is said of it, what it tells, and a blank window.

    Parameters
    ----------
    foreign : Foreign
    runtime : Runtime
        With the graph.

    Raises
    ------
    InputError
        If they contradict each other or leave something open.
    """
    stacks = _stacks_by_name(foreign, runtime)
    inputs = _all_inputs(stacks.values())
    tensors = tuple(
        _tensor(value, stacks[value.name], inputs, foreign.layout) for value in runtime.inputs
    )
    window = _window(foreign.window, runtime.inputs, tensors, inputs)
    alone = Geometry(window, window, window)
    contract = Contract(
        alone, inputs, (), scans=False, graph=tensors, output=_output(foreign.output, runtime)
    )
    shape = _shape_for_a_window(contract, runtime)
    outputs, tasks, order = _axes(foreign, shape, tensors, window)
    return replace(
        contract,
        geometry=_geometry(foreign, window, outputs),
        tasks=_task_names(foreign.tasks, tasks),
        order=order,
    )


def _stacks_by_name(foreign: Foreign, runtime: "Runtime") -> dict[str, Stack]:
    """Give each graph input its parts."""
    names = [value.name for value in runtime.inputs]
    said = foreign.stacks()
    if not said and len(names) == 1 and 4 in runtime.inputs[0].shape[1:]:
        return {names[0]: read_parts(BASES)}
    if list(said) == [""] and len(names) == 1:
        return {names[0]: said[""]}
    unknown = sorted(set(said) - set(names))
    lacking = [name for name in names if name not in said]
    if unknown or lacking:
        wrong = f"no input {unknown[0]!r}" if unknown else f"no --input {lacking[0]}=PARTS"
        raise InputError(f"found {wrong}, expected one for each that the graph takes")
    return said


def _all_inputs(stacks: Iterable[Stack]) -> tuple[Input, ...]:
    found: dict[str, Input] = {}
    for spec in (spec for stack in stacks for spec in stack.inputs):
        if found.setdefault(spec.name, spec) != spec:
            raise InputError(f"found {spec.name} made in two ways, expected one in all --input")
    return tuple(found.values())


def _tensor(
    value: GraphValue, stack: Stack, inputs: Sequence[Input], layout: Layout | None
) -> Tensor:
    """Find where the channels are: on the axis that has their number."""
    tensor = Tensor(value.name, tuple(spec.name for spec in stack.inputs), stack.bases)
    channels = channels_of(tensor, inputs)
    free = [axis for axis in value.shape[1:] if axis != 1]
    if len(free) == 2 and layout is None and channels > 1:
        sized = [axis == channels for axis in free]
        if not any(sized):
            sized = [not isinstance(axis, int) for axis in free]
        if sized == [True, True]:
            raise InputError(
                f"takes {shape_text(value)}: give --layout channels-last or channels-first"
            )
        layout = "channels-first" if sized[0] else None
    layout = layout or "channels-last"
    there = free[0 if layout == "channels-first" else 1] if len(free) == 2 else channels
    if isinstance(there, int) and there != channels:
        raise InputError(
            f"found {channels} channel(s), {'+'.join(tensor.parts)}, for {shape_text(value)}, "
            f"expected {there}, {layout}"
        )
    return replace(tensor, layout=layout)


def _window(
    said: int | None,
    values: Sequence[GraphValue],
    tensors: Sequence[Tensor],
    inputs: Sequence[Input],
) -> int:
    """Find the window that is said or that the graph's axes have fixed."""
    found = {} if said is None else {"--window": said}
    for value, tensor in zip(values, tensors, strict=True):
        free = [axis for axis in value.shape[1:] if axis != 1]
        if len(free) == 2 and tensor.layout == "channels-first":
            free.reverse()
        if free and isinstance(free[0], int):
            found[value.name] = free[0]
    if not found:
        raise InputError("takes windows of any length: give --window BP")
    if len(set(found.values())) > 1:
        told = ", ".join(f"{length} ({name})" for name, length in found.items())
        raise InputError(f"found windows of {told}, expected one length")
    return next(iter(found.values()))


def _output(said: str, runtime: "Runtime") -> str:
    names = [value.name for value in runtime.outputs]
    if said and said not in names:
        raise InputError(f"gives no output {said!r}, expected one of {', '.join(names)}")
    if not said and len(names) > 1:
        raise InputError(f"gives {', '.join(names)}: give --graph-output NAME")
    return said or names[0]


def _shape_for_a_window(contract: Contract, runtime: "Runtime") -> Shape:
    """Compute a window of which nothing is known, and give the shape of its output."""
    slots = [
        fit(tensor, value, contract)
        for tensor, value in zip(contract.graph, runtime.inputs, strict=True)
    ]
    bases = {}
    batch = max(slot.batch or 1 for slot in slots)
    for spec in contract.inputs:
        kind = channel(spec)
        blank = np.full(contract.geometry.length(batch), kind.blank, kind.dtype)
        bases[spec.name] = kind.prepare(blank)
    try:
        feeds = next(in_batches(stacked(bases, slots, contract), None))
        shape = runtime.run(feeds, contract.output).shape
    except Exception as error:  # the runtime's exceptions have no base of their own
        raise InputError(f"cannot compute a blank window: {error}") from error
    if shape[:1] != (batch,):
        raise InputError(f"gives {contract.output} {shape} for {batch} window(s)")
    return shape[1:]


def _axes(
    foreign: Foreign, shape: Shape, tensors: Sequence[Tensor], window: int
) -> tuple[int, int, Order]:
    """Tell bins and tasks among the axes of one window's output: their numbers and order."""
    long = [axis for axis in shape if axis > 1]
    told = f"a window's output has the shape {shape}"
    several = foreign.step is not None
    if len(long) > 2 or (len(long) == 2 and not several):
        raise InputError(
            f"{told}, expected one axis, of tasks, or with --step BP two, of bins and tasks"
        )
    if not long:
        return 1, 1, "bins, tasks"
    if len(long) == 1:
        named = len(foreign.tasks) == long[0]
        if not several and foreign.stride is None and not named:
            raise InputError(f"{told}: give --step BP if it is bins, or --stride BP if it is tasks")
        return (long[0], 1, "bins, tasks") if several else (1, long[0], "bins, tasks")
    return _order(foreign, long, told, tensors, window)


def _order(
    foreign: Foreign, long: list[int], told: str, tensors: Sequence[Tensor], window: int
) -> tuple[int, int, Order]:
    """Tell which of two axes is that of the bins: they lie in the window, and tasks have names."""
    orders: dict[Order, list[int]] = {"bins, tasks": long, "tasks, bins": long[::-1]}
    names = len(foreign.tasks)
    fitting: list[tuple[int, int, Order]] = [
        (bins, tasks, order)
        for order, (bins, tasks) in orders.items()
        if bins * (foreign.step or 1) <= window and names in (0, tasks)
    ]
    if not fitting:
        raise InputError(
            f"{told}, expected bins and tasks: {foreign.step} bp a bin within {window} bp, and as "
            "many tasks as are named"
        )
    if len(fitting) == 2 and not names:
        raise InputError(f"{told}, and either axis may be that of the bins: name the tasks")
    first = any(tensor.layout == "channels-first" for tensor in tensors)
    return fitting[-1 if first else 0]


def _geometry(foreign: Foreign, window: int, outputs: int) -> Geometry:
    stride = foreign.step or foreign.stride or STRIDE
    usual = SIZE if foreign.step is None and window >= SIZE else stride
    try:
        return Geometry(window, foreign.size or usual, stride, outputs)
    except InputError as error:
        raise InputError(
            f"{error.message}; say the bins by --step or --stride, and --size"
        ) from error


def _task_names(said: tuple[str, ...], count: int) -> tuple[str, ...]:
    if said and len(said) != count:
        raise InputError(f"gives {count} score(s) a bin, but {len(said)} are named")
    if said:
        return said
    return ("score",) if count == 1 else tuple(f"task{i + 1}" for i in range(count))
