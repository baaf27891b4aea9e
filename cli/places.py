"""From options to the places that they name: contigs, regions, files of intervals."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import typer

from .streams import STDIN_NAMES, reading

if TYPE_CHECKING:
    from tfbind.genome import ContigNames
    from tfbind.labels import Peaks
    from tfbind.regions import IntervalSet, Region

Prefix = Literal["add", "strip"] | None


def comma_list(values: list[str] | None) -> list[str]:
    """Join lists parted by commas, from an option that may be repeated."""
    return [item.strip() for value in values or [] for item in value.split(",") if item.strip()]


def regions_in(option: str, values: list[str] | None, known: dict[str, int]) -> "list[Region]":
    """Read regions from an option that may be repeated."""
    from tfbind.errors import InputError
    from tfbind.regions import parse_regions

    try:
        return parse_regions(values or [], known)
    except InputError as error:
        raise typer.BadParameter(f"{option}: {error}") from None


def alias_in(path: str | None) -> dict[str, str]:
    """Read the file of `--alias`, if there is one."""
    from tfbind.genome import read_alias

    return read_alias(path) if path else {}


def places(
    genome: str,
    chroms: list[str] | None,
    region: list[str] | None,
    alias: str | None,
    prefix: Prefix,
) -> "tuple[dict[str, int], list[Region] | None]":
    """Give the sizes of the genome's contigs, and the regions that are asked for."""
    from tfbind.genome import ContigNames, contig_sizes

    sizes = contig_sizes(genome)
    names = ContigNames(tuple(sizes), genome, alias_in(alias), prefix)
    return sizes, regions_asked(sizes, names, chroms, region)


def regions_asked(
    sizes: dict[str, int], names: "ContigNames", chroms: list[str] | None, region: list[str] | None
) -> "list[Region] | None":
    """Give the regions that `--chroms` and `--region` leave, by the genome's names; None for all.

    To name nothing, or regions on none of the contigs asked for, is a usage error, not an empty
    output.
    """
    from tfbind.regions import Region

    asked = comma_list(chroms)
    if chroms and not asked:
        raise typer.BadParameter("--chroms names no chromosome: give A,B")
    only = {names.resolve(name, asked) for name in asked} or set(sizes)
    if not region:
        return [Region(name) for name in only] if asked else None
    regions = regions_in("--region", region, sizes)
    if not regions:
        raise typer.BadParameter("--region names no place: give CHR:FROM-TO")
    contigs = [one.contig for one in regions]
    named = [replace(one, contig=names.resolve(one.contig, contigs)) for one in regions]
    chosen = [one for one in named if one.contig in only]
    if not chosen:
        raise typer.BadParameter(
            f"--region {','.join(region)} lies on none of --chroms {','.join(asked)}: drop one"
        )
    return chosen


def read_interval_set(path: str, alias: dict[str, str], prefix: Prefix) -> "IntervalSet":
    """Read a file of intervals whole."""
    from tfbind.intervals import read_intervals
    from tfbind.regions import IntervalSet

    with reading(path) as (stream, name):
        return IntervalSet(read_intervals(stream, name), name, alias=alias, prefix=prefix)


def read_peak_file(path: str) -> "Peaks":
    """Read a file of peaks whole."""
    from tfbind.labels import read_peaks

    with reading(path) as (stream, name):
        return read_peaks(stream, name)


def refuse_stdin_twice(*paths: str | None) -> None:
    """Refuse two inputs on one stream: the second would be empty, silently."""
    if sum(path in STDIN_NAMES for path in paths) > 1:
        raise typer.BadParameter("standard input can be only one of the inputs; give files")


def shard_in(text: str | None) -> tuple[int, int]:
    """Read I/N; none given is 1/1."""
    number, _, count = ("1/1" if text is None else text).partition("/")
    if not (number.isascii() and number.isdigit() and count.isascii() and count.isdigit()):
        raise typer.BadParameter(f"found --shard {text!r}, expected I/N, such as 1/4")
    if not 1 <= int(number) <= int(count):
        raise typer.BadParameter(f"found --shard {text!r}, expected 1 <= I <= N")
    return int(number), int(count)
