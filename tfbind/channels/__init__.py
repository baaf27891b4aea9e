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
from tfbind.errors import InputError, RequestError

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


def described(text: str) -> tuple[Input, dict[str, str]]:
    """Describe the input that `--channel KIND[=FILE]` asks for.

    Returns
    -------
    spec : Input
    files : dict of str to str
        The path that a value a base is read from, by its name, if it is.

    Raises
    ------
    RequestError
        If there is no such kind, or it is asked for otherwise.
    InputError
        If its file is wrong.
    """
    kind, equals, path = text.partition("=")
    known = [name for name in CHANNELS if name not in ("sequence", "signal")]
    if kind not in known:
        raise RequestError(f"found --channel {text}, expected one of {', '.join(known)}")
    spec = CHANNELS[kind].described(path if equals else None)
    return spec, {spec.name: path} if spec.along == "bases" and path else {}


__all__ = ["CHANNELS", "Channel", "Sources", "channel", "described"]
