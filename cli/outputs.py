"""The files that scores are written to: one, or one for each task."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol

import typer

from .streams import refuse_existing, replacing, writing

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.contract import Contract
    from tfbind.intervals import IntervalReader, Intervals
    from tfbind.model import Scores
    from tfbind.pipeline import Times

Format = Literal["bedgraph", "bed", "bigwig", "dream"]
Scored = Iterator[tuple["Intervals", "Scores"]]

TASK, STRAND = "{task}", "{strand}"
SUFFIXES: dict[str, Format] = {
    ".bw": "bigwig",
    ".bigwig": "bigwig",
    ".bed": "bed",
    ".tab.gz": "dream",
}


COMPRESSED = (".gz", ".bgz")
"""Names of what a command does not write itself, where it writes plain text."""


class Writer(Protocol):
    """What takes text, to write or to compress it."""

    def write(self, data: bytes, /) -> int:
        """Take text."""


@dataclass(frozen=True)
class Target:
    """A file, and which of the tasks it holds, of which strand; None: of all bins."""

    path: str
    tasks: tuple[str, ...]
    minus: bool | None = None

    def part(self, batch: "Intervals", scores: "Scores") -> "tuple[Intervals, Scores]":
        """Give the bins of the file's strand, and their scores."""
        if self.minus is None or batch.minus is None:
            return batch, scores
        keep = batch.minus == self.minus
        return batch.select(keep), scores[keep]


def format_of(asked: Format | None, output: str) -> Format:
    """Take the format that was asked for, or else the one that the file's name tells."""
    return asked or told_format(output) or "bedgraph"


def told_format(output: str) -> Format | None:
    """Tell the format that a file's name stands for, if any."""
    name = Path(output).name.lower()
    return next((told for suffix, told in SUFFIXES.items() if name.endswith(suffix)), None)


def refuse_compressed(output: str, *, by: str) -> None:
    """Refuse to write plain text under the name of a compressed file."""
    if output.lower().endswith(COMPRESSED):
        raise typer.BadParameter(f"{output} would not be compressed: pipe into {by} > {output}")


def is_bigwig(output: str) -> bool:
    """Tell by its name whether a track of values is to be a bigWig, and not a bedGraph."""
    told = told_format(output)
    if told == "bed":
        raise typer.BadParameter(f"the name {output} is that of a bed, not of a bedgraph")
    refuse_compressed(output, by="bgzip")
    return told == "bigwig"


def targets(output: str, task: str | None, contract: "Contract", format_: Format) -> list[Target]:
    """Share the tasks, and the strands, out to files."""
    tasks = contract.tasks
    if task is not None and task not in tasks:
        raise typer.BadParameter(f"no task {task!r}: there is {', '.join(tasks)}")
    if STRAND not in output:
        return _of_tasks(output, task, tasks, format_)
    if not contract.stranded:
        raise typer.BadParameter(f"found {STRAND} in {output}, but the model reads no strand")
    from tfbind.strands import NAMES

    return [
        replace(one, minus=minus)
        for minus, name in NAMES.items()
        for one in _of_tasks(output.replace(STRAND, name), task, tasks, format_)
    ]


def _of_tasks(
    output: str, task: str | None, tasks: tuple[str, ...], format_: Format
) -> list[Target]:
    chosen = tasks if task is None else (task,)
    if TASK in output:
        return [Target(output.replace(TASK, name), (name,)) for name in chosen]
    if len(chosen) > 1 and format_ != "bed":
        name = "F.{task}.PC-3.tab.gz" if format_ == "dream" else "NAME.{task}.bw"
        raise typer.BadParameter(
            f"the model has the tasks {', '.join(tasks)}: choose one by --task, give a file to "
            f"each by -o '{name}', or write all as columns by --format bed"
        )
    return [Target(output, chosen)]


@dataclass(frozen=True)
class Place:
    """How files take their names.

    Attributes
    ----------
    force : bool
        Replace what is there.
    resumable : bool
        Write into FILE.part, where a run after a kill finds and replaces it.
    """

    force: bool
    resumable: bool

    def refuse_existing(self, wanted: Sequence[Target]) -> None:
        """Refuse to write over any of the files, before any work is done."""
        for target in wanted:
            refuse_existing(target.path, force=self.force)

    def stream(self, output: str) -> AbstractContextManager[BinaryIO]:
        """Open a file to write to."""
        return writing(output, force=self.force, part=self._part(output))

    def path(self, output: str) -> AbstractContextManager[Path]:
        """Give the path of a file to write."""
        return replacing(output, force=self.force, part=self._part(output))

    def _part(self, output: str) -> str | None:
        # Beside what a link points to: a file cannot be renamed to another disk.
        return f"{os.path.realpath(output)}.part" if self.resumable else None


@dataclass(frozen=True)
class Layout:
    """What the files look like.

    Attributes
    ----------
    format : 'bedgraph', 'bed', 'bigwig' or 'dream'
    header : bytes
        The `#tfbind` line without its end; empty if there is to be no header, as for all parts of
        an input but the first.
    contract : Contract
        Of the model.
    reader : IntervalReader
        Of the bins.
    before : Intervals or None
        The bin before the first, where only a part of them is scored.
    """

    format: Format
    header: bytes
    contract: "Contract"
    reader: "IntervalReader"
    before: "Intervals | None" = None

    @property
    def path(self) -> "str | Path":
        """The input's name, for messages."""
        return self.reader.path

    def first_line(self, target: Target) -> bytes:
        """Write the header of one file."""
        if not self.header:
            return b""
        task = f"\ttask={','.join(target.tasks)}" if len(self.contract.tasks) > 1 else ""
        strand = "" if target.minus is None else f"\tstrand={'+-'[target.minus]}"
        return self.header + (task + strand).encode() + b"\n"


def write(
    scored: Scored,
    wanted: Sequence[Target],
    layout: Layout,
    place: Place,
    sources: "Sources",
    times: "Times",
) -> None:
    """Write all files; each takes its name when it is complete."""
    if layout.format == "bigwig":
        _write_bigwigs(scored, wanted, layout, place, sources, times)
    else:
        _write_text(scored, wanted, layout, place, times)


def _write_text(
    scored: Scored, wanted: Sequence[Target], layout: Layout, place: Place, times: "Times"
) -> None:
    """Write text, that of a batch made while the one before is written."""
    from tfbind.dream import gzipped
    from tfbind.pipeline import ahead

    with ExitStack() as stack:
        files = [stack.enter_context(place.stream(target.path)) for target in wanted]
        outs: Sequence[Writer] = files
        if layout.format == "dream":
            outs = [stack.enter_context(gzipped(file)) for file in files]
        for out, target in zip(outs, wanted, strict=True):
            out.write(layout.first_line(target))
        made = times.drawing("format", _texts(scored, wanted, layout))
        for texts in stack.enter_context(ahead(made)):
            with times.of("write"):
                for out, text in zip(outs, texts, strict=True):
                    out.write(text)


def _texts(scored: Scored, wanted: Sequence[Target], layout: Layout) -> Iterator[list[bytes]]:
    import numpy as np

    from tfbind.dream import submission_lines
    from tfbind.tracks import Centres, bed_score_lines, bedgraph_lines

    columns = _columns(wanted)
    if layout.format == "dream":
        for batch, scores in scored:  # of no strand
            yield [submission_lines(batch, scores[:, some[0]], layout.path) for some in columns]
        return
    if layout.format == "bedgraph":
        centres = [Centres(layout.contract.geometry, layout.path) for _ in wanted]
        if layout.before is not None:
            for target, place in zip(wanted, centres, strict=True):
                before, _ = target.part(layout.before, np.zeros((1, 1), np.float32))
                list(place(before))  # the first of this part must not lie on it
        for batch, scores in scored:
            parts = [
                one.part(batch, scores[:, some[0]])
                for one, some in zip(wanted, columns, strict=True)
            ]
            yield [bedgraph_lines(*part, place) for part, place in zip(parts, centres, strict=True)]
        return
    named = not layout.header
    for batch, scores in scored:
        if not named:
            yield [_names_line(layout, target) for target in wanted]
            named = True
        yield [
            bed_score_lines(*one.part(batch, scores[:, some]))
            for one, some in zip(wanted, columns, strict=True)
        ]
    if not named and layout.reader.columns:
        yield [_names_line(layout, target) for target in wanted]


def tasks_of(wanted: Sequence[Target]) -> list[str]:
    """Name the tasks of all files, each once."""
    return list(dict.fromkeys(name for target in wanted for name in target.tasks))


def _columns(wanted: Sequence[Target]) -> list[list[int]]:
    """Find each file's columns of scores; scores hold the wanted tasks in order."""
    order = tasks_of(wanted)
    return [[order.index(name) for name in target.tasks] for target in wanted]


def _names_line(layout: Layout, target: Target) -> bytes:
    """Name the columns, where it takes a name to tell the scores of several tasks apart."""
    if len(target.tasks) == 1:
        return b""
    carried = [f"column{i + 1}" for i in range(3, layout.reader.columns)]
    return "\t".join(["#contig", "start", "end", *carried, *target.tasks]).encode() + b"\n"


def _write_bigwigs(
    scored: Scored,
    wanted: Sequence[Target],
    layout: Layout,
    place: Place,
    sources: "Sources",
    times: "Times",
) -> None:
    from tfbind.bigwig import BigWigWriter
    from tfbind.tracks import Centres

    names = sources.names(tuple(sources.genome.sizes), sources.genome.path)
    columns = _columns(wanted)
    with ExitStack() as stack:
        writers = []
        for target in wanted:
            part = stack.enter_context(place.path(target.path))
            centres = Centres(layout.contract.geometry, layout.path, ordered=True)
            writer = BigWigWriter(part, sources.genome.sizes, centres, name=target.path)
            writers.append(stack.enter_context(writer))
        for batch, scores in scored:
            found = {contig: names.resolve(contig) for contig in batch.contigs}
            with times.of("write"):
                for target, (column,), writer in zip(wanted, columns, writers, strict=True):
                    writer.add(*target.part(batch, scores[:, column]), found)
        with times.of("write"):
            for writer in writers:
                writer.close()
