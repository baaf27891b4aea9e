"""The files that contributions are written to: tracks, rows of bins, a table."""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import typer

from .outputs import is_bigwig
from .streams import refuse_existing, refuse_same, replacing, writing

if TYPE_CHECKING:
    from tfbind.bigwig import BigWigRuns
    from tfbind.interpret.archives import ArrayFile
    from tfbind.interpret.covering import Bases
    from tfbind.interpret.explained import Explained

EACH = "{input}"
"""In an output's name it stands for each input."""

ROWS = ".npz"


@dataclass(frozen=True)
class Files:
    """What is to be written.

    Attributes
    ----------
    output : str
        A track, or rows where its name ends in .npz.
    tracks : tuple of str
        The inputs whose tracks are written.
    table : str or None
    force : bool
    """

    output: str
    tracks: tuple[str, ...]
    table: str | None
    force: bool

    @property
    def rows(self) -> bool:
        """Whether each bin has a row."""
        return self.output.endswith(ROWS)

    @property
    def one_hot(self) -> str:
        """The file of the sequences beside that of the rows."""
        return self.output.removesuffix(ROWS) + ".onehot" + ROWS

    def paths(self) -> list[str]:
        """Name all files."""
        table = [] if self.table is None else [self.table]
        if self.rows:
            return [self.output, self.one_hot, *table]
        return [*(self.output.replace(EACH, name) for name in self.tracks), *table]

    def check(self) -> None:
        """Refuse what cannot be written, before any work is done."""
        if not self.rows:
            is_bigwig(self.output)
        left = self.output if self.rows else self.output.replace(EACH, "")
        if found := re.search(r"{[^{}]*}", left):
            known = f"none: {ROWS} holds all inputs" if self.rows else f"{EACH}, for each input"
            raise typer.BadParameter(f"found {found[0]} in -o {self.output}, expected {known}")
        refuse_same(*self.paths())
        for path in self.paths():
            refuse_existing(path, force=self.force)


def tracks_asked(asked: str | None, output: str, known: list[str]) -> tuple[str, ...]:
    """Choose the inputs whose tracks are written: one, or all where the name has their place."""
    if asked is not None and asked not in known:
        raise typer.BadParameter(
            f"found --track {asked}, expected an input with a value a base: {', '.join(known)}"
        )
    if asked is not None and output.endswith(ROWS):
        raise typer.BadParameter(f"rows ({ROWS}) are of all inputs: drop --track")
    if asked is not None:
        return (asked,)
    return tuple(known if EACH in output else known[:1])


class Tracks:
    """Write means at bases as bedGraph or bigWig, a file for each input."""

    def __init__(self, files: Files, known: list[str], head: bytes, sizes: dict[str, int]) -> None:
        self._files = files
        self._columns = [known.index(name) for name in files.tracks]
        self._head = head
        self._sizes = sizes
        self._bigwigs: list[BigWigRuns] = []
        self._texts: list[BinaryIO] = []

    def open(self, stack: ExitStack) -> None:
        """Open the files; they take their names at the end of the stack."""
        from tfbind.bigwig import BigWigRuns

        for path in (self._files.output.replace(EACH, name) for name in self._files.tracks):
            if is_bigwig(path):
                part = stack.enter_context(replacing(path, force=self._files.force))
                self._bigwigs.append(stack.enter_context(BigWigRuns(part, self._sizes, name=path)))
            else:
                text = stack.enter_context(writing(path, force=self._files.force))
                text.write(self._head)
                self._texts.append(text)

    def add(self, bases: "Bases") -> None:
        """Write consecutive bases."""
        from tfbind.interpret.tracks import bedgraph, runs

        for column, bigwig in zip(self._columns, self._bigwigs, strict=False):
            bigwig.add(bases.contig, *runs(bases, column))
        for column, text in zip(self._columns, self._texts, strict=False):
            text.write(bedgraph(bases, column))


class Table:
    """Write a line a base."""

    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        self._stream = stream
        stream.write(head)

    def add(self, bases: "Bases") -> None:
        """Write consecutive bases."""
        from tfbind.interpret.tracks import table_lines

        self._stream.write(table_lines(bases))


class Rows:
    """Write a row a bin into two files."""

    def __init__(
        self,
        stack: ExitStack,
        files: Files,
        about: dict[str, str],
        flank: int,
        contigs: Iterable[str],
    ) -> None:
        from tfbind.interpret.archives import ArrayFile

        def opened(path: str, **told: str) -> "ArrayFile":
            part = stack.enter_context(replacing(path, force=files.force))
            return stack.enter_context(ArrayFile(part, told))

        self._values, self._bases = opened(files.output, **about), opened(files.one_hot)
        self._flank = flank
        self._name_width = max(map(len, contigs))

    def add(self, explained: "Explained") -> None:
        """Write the rows of some bins."""
        from tfbind.interpret.archives import attribution_rows, one_hot_rows

        self._values.add(attribution_rows(explained, self._flank, self._name_width))
        self._bases.add(one_hot_rows(explained))


def written(bases: "Iterable[Bases]", sinks: "list[Tracks | Table]") -> None:
    """Write bases to all that want them."""
    for one in bases:
        for sink in sinks:
            sink.add(one)


def kept(rows: "Iterator[Explained]", sink: "Rows | None") -> "Iterator[Explained]":
    """Pass rows on, and write them."""
    for one in rows:
        if sink is not None:
            sink.add(one)
        yield one
