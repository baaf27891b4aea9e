"""Vectors of cell types, from a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tfbind.errors import InputError, three
from tfbind.text import text_blocks

LARGEST = 3.4e38
"""Of float32, rounded down."""


@dataclass(frozen=True)
class CellTable:
    """A vector of named values for each cell type.

    Attributes
    ----------
    path : str
        The file, or where else the table is from.
    columns : tuple of str
        Names of the values.
    rows : mapping of str to tuple of float
        By cell type.
    """

    path: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]

    def of(self, cell: str) -> tuple[float, ...]:
        """Give the vector of a cell type.

        Raises
        ------
        InputError
            If the table lacks it.
        """
        if cell not in self.rows:
            raise InputError(
                f"has no cell type {cell!r}: there is {', '.join(sorted(self.rows)) or 'none'}; "
                "give --cell NAME, or another table by --expression FILE",
                path=self.path,
            )
        return self.rows[cell]

    def require_columns(self, columns: tuple[str, ...]) -> None:
        """Check that these are the values that were learnt from.

        Raises
        ------
        InputError
            If they are not.
        """
        if self.columns != columns:
            raise InputError(
                f"has the {len(self.columns)} values {three(self.columns)}, but the model learnt "
                f"from {len(columns)}, {three(columns)}; give a table with the same header",
                path=self.path,
            )


def read_cell_table(path: str | Path) -> CellTable:
    """Read a table of tab-separated text: a header, then a line for each cell type.

    The first column is the cell type's name, the others are numbers; lines that begin with `#` and
    empty ones are passed over.

    Parameters
    ----------
    path : str or Path
        Plain, gzip or BGZF.

    Raises
    ------
    InputError
        If it cannot be read, a line is no row of it, or a cell type has two.
    """
    columns: tuple[str, ...] = ()
    rows: dict[str, tuple[float, ...]] = {}
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        first, *rest = (field.strip() for field in line.split("\t"))
        if not columns:
            columns = _header(rest, path, number)
        elif first in rows:
            raise InputError(
                f"found a second line of {first!r}, expected one a cell type",
                path=path,
                line=number,
            )
        else:
            rows[first] = _values(first, rest, columns, path, number)
    if not rows:
        raise InputError(
            "holds no cell type, expected a header and a line for each, tab-separated", path=path
        )
    return CellTable(str(path), columns, rows)


def _text(path: str | Path) -> str:
    try:
        with open(path, "rb") as stream:
            return b"".join(text_blocks(stream, path)).decode()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    except UnicodeDecodeError as error:
        raise InputError("is no text, expected a table of cell types", path=path) from error


def _header(names: list[str], path: str | Path, number: int) -> tuple[str, ...]:
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"found the header {three(names)}, expected `cell` and the names of one or more "
            "values, all different, parted by tabs",
            path=path,
            line=number,
        )
    if all(_number(name) is not None for name in names):
        raise InputError(
            f"found the numbers {three(names)}, expected a header: `cell` and the names of values",
            path=path,
            line=number,
        )
    return tuple(names)


def _values(
    cell: str, fields: list[str], columns: tuple[str, ...], path: str | Path, number: int
) -> tuple[float, ...]:
    if len(fields) != len(columns):
        raise InputError(
            f"found {len(fields)} value(s) of {cell!r}, expected {len(columns)} as in the header",
            path=path,
            line=number,
        )
    values = [_number(field) for field in fields]
    if None in values:
        at = values.index(None)
        raise InputError(
            f"found {fields[at]!r} as {columns[at]} of {cell!r}, expected a number that 32 bits "
            "hold",
            path=path,
            line=number,
        )
    return tuple(value for value in values if value is not None)


def _number(text: str) -> float | None:
    """Read a number, unless it is none, or is infinite in 32 bits."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= LARGEST and "_" not in text else None
