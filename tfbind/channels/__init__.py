"""Kinds of input to a network, each made from the genome under a tile or from the cell type.

A new kind is one module here and one line in `CHANNELS`.
"""

from tfbind.channels.base import Channel, Sources
from tfbind.channels.expression import ExpressionChannel
from tfbind.channels.motif import MotifChannel
from tfbind.channels.sequence import SequenceChannel
from tfbind.channels.shape import ShapeChannel
from tfbind.channels.signal import SignalChannel
from tfbind.contract import Input
from tfbind.errors import InputError

CHANNELS: dict[str, type[Channel]] = {
    "sequence": SequenceChannel,
    "signal": SignalChannel,
    "shape": ShapeChannel,
    "motif": MotifChannel,
    "expression": ExpressionChannel,
}


def channel(spec: Input) -> Channel:
    """Give the channel that makes an input.

    Raises
    ------
    InputError
        If there is none of its kind here.
    """
    if spec.source not in CHANNELS:
        raise InputError(
            f"the input {spec.name!r} is of a kind {spec.source!r} that this tfbind does not know; "
            f"it knows {', '.join(CHANNELS)}: update it"
        )
    return CHANNELS[spec.source](spec)


def described(text: str) -> Input:
    """Describe the input that `--channel KIND[=ARGUMENT]` asks for.

    Raises
    ------
    InputError
        If there is no such kind, or its file is wrong.
    """
    kind, equals, argument = text.partition("=")
    if kind not in CHANNELS:
        raise InputError(f"found --channel {text}, expected one of {', '.join(CHANNELS)}")
    return CHANNELS[kind].described(argument if equals else None)


__all__ = ["CHANNELS", "Channel", "Sources", "channel", "described"]
