"""What `tfbind label` and `tfbind sample` do with CAGE peaks."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from .places import Prefix, alias_in, places, refuse_stdin_twice
from .progress import advancing, progress, say
from .streams import reading, refuse_existing, writing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfbind.cage import CagePeaks
    from tfbind.intervals import Intervals
    from tfbind.sites import Sites


def read_cage_file(path: str) -> "CagePeaks":
    """Read a file of CAGE peaks whole."""
    from tfbind.cage import read_cage

    with reading(path) as (stream, name):
        return read_cage(stream, name)


def label_cage(
    bed: str,
    cage: str,
    away: int | None,
    alias: str | None,
    prefix: Prefix,
    output: str,
    *,
    force: bool,
    quiet: bool,
) -> None:
    """Write windows with strands, the class of each in column 4."""
    import numpy as np

    from tfbind.cage import AWAY, WORDS, CageLabeller
    from tfbind.intervals import IntervalReader
    from tfbind.strands import stranded

    refuse_stdin_twice(bed, cage)
    away = AWAY if away is None else away
    labeller = CageLabeller(read_cage_file(cage), away, alias=alias_in(alias), prefix=prefix)
    counts = np.zeros(len(WORDS), np.int64)
    with ExitStack() as stack:
        stream, path = stack.enter_context(reading(bed, what="BED"))
        out = stack.enter_context(writing(output, force=force))
        advance = stack.enter_context(progress("label", "bins", total=None, quiet=quiet))
        reader = IntervalReader(stream, path)
        begun = False
        for batch in advancing(reader, advance):
            if not begun:
                out.writelines(line.encode() + b"\n" for line in reader.header)
                begun = True
            codes = labeller.label(stranded(batch, path))
            out.write(_relabelled(batch, codes))
            counts += np.bincount(codes, minlength=len(WORDS))
        labeller.axis.require_shared()
    say(", ".join(f"{n:,} {word}" for word, n in zip(WORDS, counts, strict=True)), quiet=quiet)


def _relabelled(batch: "Intervals", codes: "npt.NDArray[np.int64]") -> bytes:
    """Write bins with the word of each in the place of column 4."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from tfbind.cage import WORDS
    from tfbind.intervals import bed_lines

    words = pc.take(pa.array(WORDS), pa.array(codes))
    columns = [words, *batch.extra[1:]]
    return b"".join(
        bed_lines(contig, batch.starts[run], batch.ends[run], *(one[run] for one in columns))
        for contig, run in batch.runs()
    )


SIZE = 200
"""Base pairs of the windows around start sites."""


@dataclass(frozen=True)
class CageSample:
    """Which windows are asked for; None where nothing was said.

    Attributes
    ----------
    cage : str or None
        The file of peaks.
    size, away : int or None
        Base pairs.
    background : int or None
        Windows; None: nine for each peak.
    seed : int
    """

    cage: str | None
    size: int | None
    away: int | None
    background: int | None
    seed: int

    def asked_for(self, chroms: list[str] | None, region: list[str] | None) -> bool:
        """Tell whether windows are wanted; refuse what goes with these alone."""
        others = {
            "--size": self.size,
            "--away": self.away,
            "--chroms": chroms,
            "--region": region,
        }
        given = [name for name, value in others.items() if value is not None]
        if self.cage is None and given:
            raise typer.BadParameter(f"{given[0]} goes with --cage")
        return self.cage is not None


def sample_cage(
    asked: CageSample,
    fasta: str | None,
    chroms: list[str] | None,
    region: list[str] | None,
    alias: str | None,
    prefix: Prefix,
    output: str,
    *,
    force: bool,
    quiet: bool,
) -> None:
    """Write the windows of peaks and of background, in the genome's order."""
    from tfbind.cage import AWAY
    from tfbind.genome import ContigNames, Genome
    from tfbind.sites import BACKGROUND_A_PEAK, Ground

    if fasta is None:
        raise typer.BadParameter("no genome: give --fasta or set TFBIND_FASTA")
    refuse_existing(output, force=force)
    size, away = asked.size or SIZE, AWAY if asked.away is None else asked.away
    genome = Genome(fasta)
    _, regions = places(fasta, chroms, region, alias, prefix)
    peaks = read_cage_file(str(asked.cage))
    names = ContigNames(tuple(genome.sizes), genome.path, alias_in(alias), prefix)
    ground = Ground(genome, size, regions, names)
    around, rows = ground.around(peaks)
    count = BACKGROUND_A_PEAK * len(around) if asked.background is None else asked.background
    with progress("background", "windows", total=None, quiet=quiet) as advance:
        far = ground.background(peaks, count, away, asked.seed, advance)
    with writing(output, force=force) as out:
        out.write(_lines(peaks, rows, around, far, list(genome.sizes), size))
    kinds = peaks.kinds[rows]
    others = len(peaks.minus) - len(rows)
    left = f"; {others:,} elsewhere, or with the middle of another" if others else ""
    say(
        f"{int((kinds == 0).sum()):,} sharp, {int((kinds == 1).sum()):,} broad{left}; "
        f"{len(far):,} places {away} bp or more from any peak",
        quiet=quiet,
    )


def _lines(
    peaks: "CagePeaks",
    rows: "npt.NDArray[np.int64]",
    around: "Sites",
    far: "Sites",
    contigs: list[str],
    size: int,
) -> bytes:
    """Write both kinds of windows as BED of 6 columns; those of peaks keep their names."""
    import numpy as np
    import pyarrow as pa

    from tfbind.intervals import bed_lines
    from tfbind.sites import joined
    from tfbind.strands import six_columns

    sites = joined([around, far])
    order = sites.order()
    names = [b"."] * len(sites)
    if peaks.intervals.extra:
        names[: len(rows)] = peaks.intervals.extra[0].take(pa.array(rows)).to_pylist()
    sites, named = sites.select(order), pa.array(names).take(pa.array(order))
    text = []
    for code, contig in enumerate(contigs):
        some = np.flatnonzero(sites.contigs == code)
        starts, ends, _, zeros, strands = six_columns(
            sites.starts[some], sites.starts[some] + size, sites.minus[some]
        )
        text.append(bed_lines(contig, starts, ends, named.take(pa.array(some)), zeros, strands))
    return b"".join(text)
