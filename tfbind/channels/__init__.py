"""Kinds of input to a network, each made from the genome under a tile.

A new kind is one module here and one line in `CHANNELS`.
"""

from tfbind.channels.base import Channel, Sources
from tfbind.channels.sequence import SequenceChannel
from tfbind.channels.signal import SignalChannel
from tfbind.contract import Input

CHANNELS: dict[str, type[Channel]] = {
    "sequence": SequenceChannel,
    "signal": SignalChannel,
}


def channel(spec: Input) -> Channel:
    """Give the channel that makes an input."""
    return CHANNELS[spec.source](spec)


__all__ = ["CHANNELS", "Channel", "Sources", "channel"]
