"""Lines of text as Arrow columns, each ending in a tab so that a column can follow."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def tabbed_lines(text: bytes) -> pa.Array:
    """Part whole lines, and turn the newline at the end of each into a tab."""
    data = np.frombuffer(text, np.uint8).copy()
    ends = np.flatnonzero(data == ord("\n"))
    data[ends] = ord("\t")
    offsets = np.concatenate([[0], ends + 1]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def with_columns(text: pa.Array, *columns: pa.Array) -> bytes:
    """Append columns to lines of text.

    Parameters
    ----------
    text : pyarrow.Array, length n, binary
        Lines that end in a tab, as in `Intervals.text`.
    columns : pyarrow.Array, each of length n, string

    Returns
    -------
    bytes
        Whole lines.
    """
    joined = pc.binary_join_element_wise(
        *(column.cast(pa.binary()) for column in columns), pa.scalar(b""), b"\t"
    )
    return whole_lines(pc.binary_join_element_wise(text, joined, pa.scalar(b"", pa.binary())))


def whole_lines(text: pa.Array) -> bytes:
    """Turn the tab at the end of each line, as in `Intervals.text`, into a newline."""
    lines = np.frombuffer(contents(text), np.uint8).copy()
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset :][: len(text) + 1]
    lines[offsets[1:] - offsets[0] - 1] = ord("\n")
    return lines.tobytes()


def contents(array: pa.Array) -> bytes:
    """Join the values of a string or binary array into one run of bytes."""
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset :][: len(array) + 1]
    return bytes(memoryview(array.buffers()[2] or b"")[offsets[0] : offsets[-1]])
