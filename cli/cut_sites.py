"""`tfbind signal`."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .options import Alias, Chroms, ChrPrefix, Force, Output, Quiet, Regions
from .outputs import is_bigwig
from .places import alias_in, refuse_stdin_twice, regions_asked
from .progress import progress, say
from .streams import reading, refuse_existing, replacing, writing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfbind.cutsites import Cuts, CutSites, Places, Run, Values
    from tfbind.reads import ReadFile
    from tfbind.regions import Axis, Cover, Region

    Value = Callable[[npt.NDArray[np.int64]], Values]

SHIFT = re.compile(r"([+-]?[0-9]{1,6}),([+-]?[0-9]{1,6})")
FLAGS = re.compile(r"0[xX][0-9a-fA-F]{1,4}|[0-9]{1,5}")
MEGABYTE = 1_000_000


def signal(
    bams: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BAM",
            help="Aligned reads sorted by coordinate: BAM, CRAM or SAM; several count as one; "
            "default: standard input.",
        ),
    ] = None,
    assay: Annotated[
        Literal["dnase", "atac"] | None,
        typer.Option(metavar="dnase|atac", help="--shift 0,0 or --shift +4,-5; default: dnase."),
    ] = None,
    shift: Annotated[
        str | None,
        typer.Option(
            metavar="BP,BP",
            help="Added to the places of the cuts of + and of - reads.",
        ),
    ] = None,
    smooth: Annotated[
        int,
        typer.Option(
            metavar="BP",
            min=1,
            max=1_000_000,
            help="Give each base the sum of the cuts in this window around it.",
        ),
    ] = 1,
    scale: Annotated[
        Literal["raw", "cpm"] | None,
        typer.Option(
            metavar="raw|cpm", help="Cuts, or cuts per million of all that count; default: raw."
        ),
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BAM",
            help="Reads of a control: write the fold over it; may be repeated, all as one.",
        ),
    ] = None,
    pseudocount: Annotated[
        float | None,
        typer.Option(
            metavar="CUTS", help="Added to both sides of the fold, in scaled cuts; default: 1."
        ),
    ] = None,
    min_mapq: Annotated[
        int, typer.Option(metavar="N", min=0, max=255, help="The lowest mapping quality.")
    ] = 0,
    exclude_flags: Annotated[
        str | None,
        typer.Option(
            metavar="FLAGS",
            help="Drop reads with any of these flags of SAM, decimal or 0x...; default: 3844, "
            "unmapped, secondary, failed, duplicate, supplementary. Unmapped reads never count.",
        ),
    ] = None,
    include_flags: Annotated[
        str, typer.Option(metavar="FLAGS", help="Drop reads without all of these flags.")
    ] = "0",
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Count duplicates (flag 1024) too.")
    ] = False,
    blacklist: Annotated[
        str | None,
        typer.Option(
            metavar="BED", envvar="TFBIND_BLACKLIST", help="Cuts in these intervals do not count."
        ),
    ] = None,
    chroms: Chroms = None,
    region: Regions = None,
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Turn aligned reads into a track of the sites where the nuclease or Tn5 cut.

    Each read counts once, at its 5' end: the first base of a + read, the last base of a - read,
    moved by --shift. With +4,-5 (Buenrostro et al. 2013) these are start + 4 and end - 6, counted
    from 0, for a read that covers start <= base < end; use --shift +4,-4 where both strands must
    meet in one base, as ChromBPNet does. Both mates of a pair count. A cut moved out of its
    chromosome is dropped. The reads must be sorted; no index is needed.

    Writes bedGraph: chromosome, start, end, value, in the order of the reads, runs of equal value
    joined, bases without a cut left out; without options the bytes are those of bedtools genomecov
    -5 -bg, given the same reads. With -o FILE.bw it is a bigWig with zoom levels. With --smooth BP
    a cut counts for BP bases, from BP // 2 before it on, for odd BP as in MACS with --extsize BP
    --shift -(BP // 2). --chroms and --region choose what is written, not what is
    counted for --scale and --control.

    With --control the value is (t + p) / (c + p), as of MACS bdgcmp -m FE: t and c are the cuts in
    the window, the deeper sample scaled down to the cuts of the other; p is --pseudocount. Every
    base is written, as it is 1 where neither has cuts.

    --scale cpm and --control take two passes: nothing is written before all is read, and until then
    the cuts are kept in TMPDIR, 12 bytes for each place that has any, 16 with --control.

    For example:

    \b
        tfbind signal K562.dnase.bam --min-mapq 30 -o K562.dnase.bw
        samtools sort atac.bam | tfbind signal --assay atac --smooth 150 --scale cpm > atac.bedGraph
    """
    from tfbind.cutsites import CutSites, Track, raw, side_by_side, spooled
    from tfbind.genome import ContigNames
    from tfbind.reads import ReadFilter
    from tfbind.regions import Axis

    paths, controls = bams or ["-"], control or []
    _refuse_contradictions(assay, shift, scale, controls, pseudocount)
    excluded = _excluded(exclude_flags, keep_duplicates=keep_duplicates)
    kept = ReadFilter(min_mapq, excluded, _flags("include", include_flags))
    shifts = _shifts(assay, shift)
    bigwig = is_bigwig(output)
    refuse_existing(output, force=force)
    refuse_stdin_twice(*paths, *controls, blacklist)
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(path)) for path in [*paths, *controls]]
        sizes = files[0].contigs
        for file in files[1:]:
            file.require_contigs(files[0])
        names = ContigNames(tuple(sizes), files[0].path, alias_in(alias), chr_prefix)
        shown = _shown(sizes, regions_asked(sizes, names, chroms, region))
        cover = _cover(blacklist, Axis(names))
        sites = [CutSites(file, replace(kept, dropped={}), shifts, cover) for file in files]
        samples = [0] * len(paths) + [1] * len(controls)
        cuts = _watched(side_by_side(sites, samples), files, stack, quiet=quiet)
        value: Value = raw
        if scale == "cpm" or controls:
            cuts, totals = stack.enter_context(spooled(cuts))
            value = _value([int(total) for total in totals], files, len(paths), pseudocount)
        track = Track(sizes, smooth, value, shown, zeros=bool(controls))
        _write(track.runs(cuts), sizes, output, bigwig=bigwig, force=force)
    for what, some in (("signal", sites[: len(paths)]), ("control", sites[len(paths) :])):
        if some:
            say(f"{what}: {_counts(some)}", quiet=quiet)


def _refuse_contradictions(
    assay: str | None,
    shift: str | None,
    scale: str | None,
    controls: list[str],
    pseudocount: float | None,
) -> None:
    if assay is not None and shift is not None:
        raise typer.BadParameter("give --assay or --shift, not both")
    if controls and scale is not None:
        raise typer.BadParameter("--control scales both samples to one depth: give no --scale")
    if pseudocount is not None and not controls:
        raise typer.BadParameter("--pseudocount belongs to --control: give both")
    if pseudocount is not None and not 0 < pseudocount < float("inf"):
        raise typer.BadParameter(f"found --pseudocount {pseudocount}, expected a number above 0")


def _shifts(assay: str | None, shift: str | None) -> tuple[int, int]:
    from tfbind.cutsites import SHIFTS

    if shift is None:
        return SHIFTS[assay or "dnase"]
    match = SHIFT.fullmatch(shift.strip())
    if match is None:
        raise typer.BadParameter(f"found --shift {shift!r}, expected BP,BP such as +4,-5")
    return int(match[1]), int(match[2])


def _excluded(given: str | None, *, keep_duplicates: bool) -> int:
    """Take the flags of reads that are dropped."""
    from tfbind.reads import DUPLICATE, EXCLUDED

    flags = EXCLUDED if given is None else _flags("exclude", given)
    if not keep_duplicates:
        return flags
    if given is not None and flags & DUPLICATE:
        raise typer.BadParameter(
            f"--keep-duplicates, but --exclude-flags {given} holds {DUPLICATE}, the flag of "
            "duplicates: drop one"
        )
    return flags & ~DUPLICATE


def _flags(which: str, text: str) -> int:
    """Read flags of SAM, decimal or hexadecimal."""
    flags = int(text, 16 if text[1:2] in "xX" else 10) if FLAGS.fullmatch(text) else -1
    if not 0 <= flags < 1 << 16:
        raise typer.BadParameter(
            f"found --{which}-flags {text!r}, expected the sum of flags, 0 to 65535, such as 3844 "
            "or 0xf04"
        )
    return flags


@contextmanager
def _opened(path: str) -> "Iterator[ReadFile]":
    from tfbind.reads import ReadFile

    with (
        reading(path, what="BAM") as (stream, name),
        ReadFile(stream, name) as reads,
    ):
        yield reads


def _shown(sizes: dict[str, int], regions: "list[Region] | None") -> "tuple[Places, Places]":
    """Give the starts and ends, on the axis, of what is to be written."""
    import numpy as np

    from tfbind.bins import grid
    from tfbind.regions import SPAN

    origins = {name: rank * SPAN for rank, name in enumerate(sizes)}
    bases = grid(sizes, 1, 1, regions=regions).runs
    starts = [origins[run.contig] + run.first for run in bases]
    ends = [origins[run.contig] + run.last for run in bases]
    return np.array(starts, np.int64), np.array(ends, np.int64)


def _cover(blacklist: str | None, axis: "Axis") -> "Cover | None":
    """Find the places of the blacklist on the axis of the reads."""
    from tfbind.intervals import read_intervals
    from tfbind.regions import Cover

    if blacklist is None:
        return None
    with reading(blacklist, what="--blacklist") as (stream, name):
        intervals = read_intervals(stream, name)
    cover = Cover(*axis.place(intervals))
    axis.require_shared("the blacklist")
    return cover


def _watched(
    cuts: "Iterable[Cuts]", files: "Sequence[ReadFile]", stack: ExitStack, *, quiet: bool
) -> "Iterator[Cuts]":
    """Pass cuts on, and show how much of the files was read."""
    sizes = [file.size for file in files]
    total = None if None in sizes else sum(size or 0 for size in sizes) / MEGABYTE
    advance = stack.enter_context(progress("signal", "MB", total=total, quiet=quiet))
    done = 0.0
    for part in cuts:
        yield part
        now = sum(file.consumed for file in files) / MEGABYTE
        advance(now - done)
        done = now


def _value(
    totals: list[int], files: "Sequence[ReadFile]", samples: int, pseudocount: float | None
) -> "Value":
    """Choose how counts are scaled, once all were counted."""
    from tfbind.cutsites import fold_over_control, per_million
    from tfbind.errors import InputError

    if len(totals) == 1:
        return per_million(totals[0])
    for total, file in zip(totals, (files[0], files[samples]), strict=True):
        if not total:
            raise InputError("has no cut that counts, expected some to divide by", path=file.path)
    return fold_over_control(totals, 1.0 if pseudocount is None else pseudocount)


def _write(
    runs: "Iterator[Run]", sizes: dict[str, int], output: str, *, bigwig: bool, force: bool
) -> None:
    from tfbind.bigwig import BigWigRuns
    from tfbind.intervals import bed_lines

    if bigwig:
        with replacing(output, force=force) as part, BigWigRuns(part, sizes, name=output) as writer:
            for run in runs:
                writer.add(*run)
        return
    with writing(output, force=force) as out:
        for run in runs:
            out.write(bed_lines(*run))


def _counts(sites: "Sequence[CutSites]") -> str:
    """Say how many reads there were, and what became of them."""
    dropped: dict[str, int] = {}
    for one in sites:
        for reason, count in one.keep.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    outside = sum(one.outside for one in sites)
    blacklisted = sum(one.blacklisted for one in sites)
    reasons = [f"{count:,} {reason}" for reason, count in dropped.items() if count]
    parts = [
        f"{sum(one.reads.read for one in sites):,} reads",
        *([f"dropped {', '.join(reasons)}"] if reasons else []),
        *([f"{outside:,} cuts outside of their chromosome"] if outside else []),
        *([f"{blacklisted:,} cuts on the blacklist"] if blacklisted else []),
        f"{sum(one.counted for one in sites):,} cuts count",
    ]
    return "; ".join(parts)
