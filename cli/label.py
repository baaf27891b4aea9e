"""`tfbind label`."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from .cage import label_cage
from .options import Alias, BedInput, ChrPrefix, Force, Output, Quiet
from .places import Prefix, alias_in, read_peak_file, refuse_stdin_twice
from .progress import advancing, progress, say
from .streams import reading, refuse_existing, writing

if TYPE_CHECKING:
    from tfbind.labels import Labeller


class Experiment(NamedTuple):
    """An experiment, as the options name it: `name` is empty where they do not."""

    name: str
    conservative: str
    relaxed: str | None


def label(
    bed: BedInput = "-",
    conservative: Annotated[
        str | None, typer.Option(metavar="PEAKS", help="Reproducible peaks: they bind.")
    ] = None,
    relaxed: Annotated[
        str | None,
        typer.Option(metavar="PEAKS", help="All peaks: those that may or may not bind too."),
    ] = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=CONSERVATIVE[,RELAXED]",
            help="An experiment and its files; repeat for a column each.",
        ),
    ] = None,
    idr: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Split the one file of each experiment, IDR output of 10 or 20 columns: "
            "conservative are the peaks up to this rate, such as 0.05.",
        ),
    ] = None,
    cage: Annotated[
        str | None,
        typer.Option(
            metavar="PEAKS", help="CAGE peaks instead: start sites, sharp, broad or background."
        ),
    ] = None,
    away: Annotated[
        int | None,
        typer.Option(
            metavar="BP",
            min=0,
            help="With --cage, what lies in a peak that is wider by so much on either side, as "
            "bedtools slop -b widens it, is no background; default: 100.",
        ),
    ] = None,
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Label bins by ChIP-seq peaks (bound, ambiguous, unbound) or CAGE peaks (start sites).

    Reads BED. Writes each line with one more column for each experiment: B (bound) where the bin
    shares at least half of itself or half of the peak with a conservative peak; else A (ambiguous)
    where it overlaps any peak; else U (unbound). With --experiment a line #contig start end NAME...
    comes first. Says on standard error how many bins have each label.

    Peak files have 3, 6, 9, 10 or 20 columns, plain, gzip or BGZF.

    With --cage bins have 6 columns with the strand in the sixth, as tfbind bin --strand both or
    tfbind sample --cage writes them, and the label is put into the fourth: sharp or broad where
    the bin's central base (base size / 2 along its strand) is the middle of a peak on that strand,
    of up to 11 bp or of more; else ambiguous where that base lies less than --away bp from a peak
    on any strand; else background. CAGE peaks are BED with the strand in column 6, or where a
    header line names the column strand.

    For example:

    \b
        tfbind bin hg19.fa | tfbind label --conservative idr.narrowPeak --relaxed all.narrowPeak
        tfbind bin hg19.fa | tfbind label --idr 0.05 --experiment CTCF=ctcf.idr.gz \\
          --experiment MAX=max.idr.gz > labels.bed
        tfbind sample --cage cage.bed.gz --fasta hg19.fa | tfbind label --cage cage.bed.gz \\
          | tfbind features --fasta hg19.fa --window 200 --stride 1 > tss.tiles
    """
    from tfbind.intervals import IntervalReader
    from tfbind.labels import LETTERS, labelled_header, letters
    from tfbind.lines import with_columns

    refuse_existing(output, force=force)
    if cage is not None or away is not None:
        _refuse_beside_cage(cage, conservative, relaxed, experiment, idr)
        sites = (bed, str(cage), away)
        label_cage(*sites, alias, chr_prefix, output, force=force, quiet=quiet)
        return
    experiments = _experiments(conservative, relaxed, experiment or [], idr)
    refuse_stdin_twice(bed, *(path for one in experiments for path in one[1:]))
    labellers = [_labeller(one, idr, alias_in(alias), chr_prefix) for one in experiments]
    names = [one.name for one in experiments if one.name]
    counts = [[0] * len(LETTERS) for _ in experiments]
    with (
        reading(bed, what="BED") as (stream, path),
        writing(output, force=force) as out,
        progress("label", "bins", total=None, quiet=quiet) as advance,
    ):
        reader = IntervalReader(stream, path)
        columns = 0
        for batch in advancing(reader, advance):
            if not columns:
                columns = 3 + len(batch.extra)
                out.write(_lines(labelled_header(reader.header, columns, names)))
            codes = [labeller.label(batch) for labeller in labellers]
            out.write(with_columns(batch.text, *map(letters, codes)))
            for count, labels in zip(counts, codes, strict=True):
                for code in range(len(LETTERS)):
                    count[code] += int((labels == code).sum())
        if not columns:
            out.write(_lines(labelled_header(reader.header, 3, names)))
        for labeller in labellers:
            labeller.axis.require_shared()
    for one, count in zip(experiments, counts, strict=True):
        shown = ", ".join(f"{n:,} {letter}" for letter, n in zip(LETTERS, count, strict=True))
        say(f"{one.name or 'label'}: {shown}", quiet=quiet)


def _refuse_beside_cage(cage: str | None, *others: object) -> None:
    if cage is None:
        raise typer.BadParameter("--away says how far from a peak of --cage: give that too")
    if any(one is not None for one in others):
        raise typer.BadParameter(
            "--cage goes without --conservative, --relaxed, --experiment and --idr"
        )


def _experiments(
    conservative: str | None, relaxed: str | None, named: list[str], idr: float | None
) -> list[Experiment]:
    """Read the options; refuse those that contradict each other or name no peaks."""
    if idr is not None and not 0 < idr <= 1:
        raise typer.BadParameter(f"found --idr {idr}, expected a rate above 0, up to 1")
    if named and (conservative or relaxed):
        raise typer.BadParameter("give --experiment, or --conservative and --relaxed, not both")
    experiments = [_parse_experiment(text) for text in named]
    if not named:
        first, *rest = [path for path in (conservative, relaxed) if path] or [""]
        if not first:
            raise typer.BadParameter("no peaks: give --conservative or --experiment")
        if conservative is None and idr is None:
            raise typer.BadParameter("give --conservative too, or --idr to split the file")
        experiments = [Experiment("", first, rest[0] if rest else None)]
    if idr is not None and any(one.relaxed for one in experiments):
        raise typer.BadParameter("--idr splits one file for each experiment: give only one")
    names = [one.name for one in experiments]
    if len(set(names)) < len(names):
        raise typer.BadParameter("two experiments have the same name")
    return experiments


def _parse_experiment(text: str) -> Experiment:
    name, _, files = text.partition("=")
    conservative, *relaxed = files.split(",")
    if not name or set(name) & set("\t\n\r") or not conservative or len(relaxed) > 1:
        raise typer.BadParameter(
            f"found --experiment {text!r}, expected NAME=CONSERVATIVE or NAME=CONSERVATIVE,RELAXED"
        )
    return Experiment(name, conservative, relaxed[0] if relaxed and relaxed[0] else None)


def _labeller(
    one: Experiment, idr: float | None, alias: dict[str, str], prefix: Prefix
) -> "Labeller":
    from tfbind.labels import Labeller

    peaks = read_peak_file(one.conservative)
    relaxed = read_peak_file(one.relaxed) if one.relaxed else None
    if idr is not None:
        peaks, relaxed = peaks.split(idr)
    return Labeller(peaks, relaxed, alias=alias, prefix=prefix)


def _lines(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()
