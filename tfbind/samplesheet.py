"""Sheets of samples: which factors were measured in which cell types, and in which files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tfbind.contract import NAME
from tfbind.errors import InputError, three
from tfbind.intervals import BYTE_ORDER_MARK
from tfbind.text import text_blocks

COLUMNS = (
    "cell",
    "factor",
    "labels",
    "peaks",
    "relaxed",
    "accessible",
    "signal",
    "expression",
)
NOTHING = ("", ".")
"""What a field holds that says nothing."""


@dataclass(frozen=True)
class Experiment:
    """A factor in a cell type: a line of the sheet.

    Attributes
    ----------
    factor : str
    line : int
        Of the sheet, counted from one.
    labels, peaks, relaxed : str
        Paths; empty where the sheet names no file. It names labels or peaks, not both.
    """

    factor: str
    line: int
    labels: str
    peaks: str
    relaxed: str


@dataclass(frozen=True)
class CellType:
    """What a sheet says of a cell type.

    Attributes
    ----------
    name : str
    experiments : tuple of Experiment
    accessible : str
        The path of its open chromatin; empty if there is none.
    signals : mapping of str to str
        Paths by name.
    lines : mapping of str to int
        The line of the sheet that first says something in a column.
    """

    name: str
    experiments: tuple[Experiment, ...]
    accessible: str
    signals: Mapping[str, str]
    lines: Mapping[str, int]


@dataclass(frozen=True)
class SampleSheet:
    """A sheet of samples.

    Attributes
    ----------
    path : str
    cells : tuple of CellType
        In the order of the sheet.
    expression : str
        The path of the table of all cell types' vectors; empty if there is none.
    """

    path: str
    cells: tuple[CellType, ...]
    expression: str

    @contextmanager
    def told(self, line: int, column: str) -> Iterator[None]:
        """Add to what is wrong with a file which line and column of the sheet names it."""
        try:
            yield
        except InputError as error:
            raise InputError(f"column {column}: {error}", path=self.path, line=line) from error


Row = dict[str, str]


def read_sheet(stream: BinaryIO, path: str) -> SampleSheet:
    """Read a sheet: tab-separated text, a header and a line for each factor in each cell type.

    The columns, in any order: cell; factor; labels (BED with a column of labels) or peaks
    (reproducible ones) and relaxed (all peaks); accessible (peaks of open chromatin); signal
    (NAME=FILE, several parted by commas, or one FILE); expression (a table of cell types). What is
    of a cell type may stand in any of its lines. Paths are relative to the sheet. An empty field
    or a point says nothing; empty lines and those that begin with # are passed over.

    Parameters
    ----------
    stream : binary file
        Plain, gzip or BGZF.
    path : str
        The name for messages, and whose folder paths are relative to.

    Raises
    ------
    InputError
        At the first line and column that cannot be understood, or that names a file that is not
        there.
    """
    rows = list(_rows(stream, path))
    if not rows:
        raise InputError("found no line below the header, expected a factor in a cell", path=path)
    folder = Path(path).parent
    lines_of: dict[str, list[tuple[int, Row]]] = {}
    expression, told_at = "", 0
    for line, row in rows:
        lines_of.setdefault(row["cell"], []).append((line, row))
        found = _file(row, "expression", folder, path, line)
        if expression and found and found != expression:
            raise InputError(
                f"column expression: found {found}, but line {told_at} says {expression}; expected "
                "one table for all cell types",
                path=path,
                line=line,
            )
        if found and not expression:
            expression, told_at = found, line
    cells = tuple(_cell(name, some, folder, path) for name, some in lines_of.items())
    _refuse_other_signals(cells, path)
    return SampleSheet(path, cells, expression)


def _rows(stream: BinaryIO, path: str) -> Iterator[tuple[int, Row]]:
    """Yield the fields of each line by column; those of columns that lack are empty."""
    header: list[str] = []
    for line, text in enumerate(_lines(stream, path), 1):
        if not text.strip() or text.startswith("#"):
            continue
        fields = [field.strip() for field in text.split("\t")]
        if not header:
            _refuse_header(fields, path, line)
            header = fields
            continue
        if len(fields) != len(header):
            raise InputError(
                f"found {len(fields)} columns, expected {len(header)} as in the header, parted by "
                "tabs",
                path=path,
                line=line,
            )
        row = {name: "" if field in NOTHING else field for name, field in zip(header, fields)}  # noqa: B905
        row = dict.fromkeys(COLUMNS, "") | row
        for column in ("cell", "factor"):
            if not NAME.fullmatch(row[column]):
                raise InputError(
                    f"column {column}: found {row[column]!r}, expected a name of letters, digits "
                    "and . _ + -",
                    path=path,
                    line=line,
                )
        yield line, row
    if not header:
        raise InputError(f"is empty, expected a header: {' '.join(COLUMNS)}", path=path)


def _lines(stream: BinaryIO, path: str) -> Iterator[str]:
    before = 0
    for number, block in enumerate(text_blocks(stream, path)):
        block = block if number else block.removeprefix(BYTE_ORDER_MARK)
        for line in block.split(b"\n")[:-1]:
            before += 1
            try:
                yield line.decode()
            except UnicodeDecodeError:
                raise InputError(
                    "found bytes that are no UTF-8 text, expected a tab-separated sheet; export it "
                    "as text",
                    path=path,
                    line=before,
                ) from None


def _refuse_header(fields: Sequence[str], path: str, line: int) -> None:
    for name in fields:
        if name not in COLUMNS:
            raise InputError(
                f"found the column {name[:40]!r}, expected a header with some of "
                f"{', '.join(COLUMNS)}, parted by tabs",
                path=path,
                line=line,
            )
        if fields.count(name) > 1:
            raise InputError(f"found two columns {name!r}, expected one", path=path, line=line)
    wanted = [name for name in ("cell", "factor") if name not in fields]
    if not wanted and not {"labels", "peaks"} & set(fields):
        wanted = ["peaks (or labels)"]
    if wanted:
        raise InputError(f"the header lacks the column {wanted[0]}", path=path, line=line)


def _cell(name: str, rows: Sequence[tuple[int, Row]], folder: Path, path: str) -> CellType:
    """Join the lines of a cell type; what they say of it as a whole must not differ."""
    experiments: dict[str, Experiment] = {}
    lines = {"cell": rows[0][0]}
    said = {"accessible": "", "signal": ""}
    for line, row in rows:
        factor = row["factor"]
        if factor in experiments:
            raise InputError(
                f"column factor: found {factor} in {name} again, which line "
                f"{experiments[factor].line} has; expected one line for each factor in a cell",
                path=path,
                line=line,
            )
        experiments[factor] = _experiment(row, folder, path, line)
        for column, before in said.items():
            if row[column] and before and row[column] != before:
                raise InputError(
                    f"column {column}: found {row[column]}, but line {lines[column]} says "
                    f"{before} of {name}",
                    path=path,
                    line=line,
                )
            if row[column] and not before:
                said[column], lines[column] = row[column], line
    accessible = _file(said, "accessible", folder, path, lines.get("accessible", 0))
    signals = _signals(said["signal"], folder, path, lines.get("signal", 0))
    return CellType(name, tuple(experiments.values()), accessible, signals, lines)


def _experiment(row: Row, folder: Path, path: str, line: int) -> Experiment:
    labels, peaks, relaxed = (
        _file(row, column, folder, path, line) for column in ("labels", "peaks", "relaxed")
    )
    if bool(labels) == bool(peaks):
        both = "files in both" if labels else "no file in either"
        raise InputError(
            f"columns labels and peaks: found {both}, expected one in one of them",
            path=path,
            line=line,
        )
    if relaxed and labels:
        raise InputError(
            "column relaxed: found a file beside labels, expected it beside peaks",
            path=path,
            line=line,
        )
    return Experiment(row["factor"], line, labels, peaks, relaxed)


def _file(row: Mapping[str, str], column: str, folder: Path, path: str, line: int) -> str:
    """Give the path in a field, or nothing; the file is there."""
    if not row[column]:
        return ""
    return _there(row[column], column, folder, path, line)


def _there(text: str, column: str, folder: Path, path: str, line: int) -> str:
    found = folder / text
    if not found.is_file():
        why = "is a folder" if found.is_dir() else "is not there"
        raise InputError(
            f"column {column}: {found} {why}; paths are relative to the sheet", path=path, line=line
        )
    return str(found)


def _signals(text: str, folder: Path, path: str, line: int) -> dict[str, str]:
    """Read NAME=FILE pairs; a file without a name is named `signal`."""
    files: dict[str, str] = {}
    for pair in filter(None, (one.strip() for one in text.split(","))):
        name, equals, file = pair.partition("=")
        if not equals:
            name, file = "signal", pair
        if not file or not NAME.fullmatch(name) or name in files:
            what = "two signals of that name" if name in files else "no such pair"
            raise InputError(
                f"column signal: found {pair!r}, {what}; expected NAME=FILE, several parted by "
                "commas",
                path=path,
                line=line,
            )
        files[name] = _there(file, "signal", folder, path, line)
    return files


def _refuse_other_signals(cells: Sequence[CellType], path: str) -> None:
    first = cells[0]
    for cell in cells:
        if set(cell.signals) != set(first.signals):
            raise InputError(
                f"column signal: {cell.name} has {three(cell.signals)}, but {first.name} "
                f"{three(first.signals)}; expected signals of the same names in all cell types",
                path=path,
                line=cell.lines.get("signal", cell.lines["cell"]),
            )
