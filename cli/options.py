"""Options that mean the same in every command, each written once."""

from typing import Annotated, Literal

import typer

ChrPrefix = Annotated[
    Literal["add", "strip"] | None,
    typer.Option(
        "--chr-prefix",
        metavar="add|strip",
        help="Add or strip a leading chr where a file lacks a contig's name.",
    ),
]
Alias = Annotated[
    str | None,
    typer.Option(
        "--alias", metavar="FILE", help="Two columns: a contig's name and its name elsewhere."
    ),
]
BedInput = Annotated[
    str, typer.Argument(metavar="BED", help="Intervals, plain, gzip or BGZF; - is standard input.")
]
Fasta = Annotated[
    str | None,
    typer.Option(
        "--fasta",
        metavar="FILE",
        envvar="TFBIND_FASTA",
        help="The genome, FASTA, plain or BGZF.",
    ),
]
Signals = Annotated[
    list[str] | None,
    typer.Option(
        "--signal",
        metavar="NAME=FILE",
        help="A bigWig and its name; repeat for several. Default: TFBIND_SIGNAL, NAME=FILE pairs "
        "separated by commas.",
    ),
]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="KIND[=FILE]",
        help="A further input: shape; motif=FILE (MEME or JASPAR); expression=FILE (a table with "
        "a line for each cell type); repeatable.",
    ),
]
Files = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="NAME=FILE",
        help="The file of a further input that the model wants, such as expression; repeatable.",
    ),
]
Expression = Annotated[
    str | None,
    typer.Option(
        "--expression",
        metavar="FILE",
        help="The same as --channel expression=FILE: values of cell types, tab-separated, below a "
        "header, the first column the cell type.",
    ),
]
Cell = Annotated[
    str | None,
    typer.Option(
        "--cell",
        metavar="NAME",
        help="The cell type, for a model that wants its expression; default: the first "
        "signal's file name.",
    ),
]
Chroms = Annotated[
    list[str] | None,
    typer.Option("--chroms", metavar="A,B", help="Only these chromosomes; may be repeated."),
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="CHR:FROM-TO",
        help="Only what lies inside, 1-based, inclusive; may be repeated.",
    ),
]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="Write here; - is standard output.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace an existing output file.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Seed of all random choices.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        "-t",
        metavar="N",
        min=1,
        envvar="TFBIND_THREADS",
        help="Threads; default: the processors this process may use.",
    ),
]
Missing = Annotated[
    Literal["error", "skip", "zero"],
    typer.Option(
        "--missing",
        metavar="error|skip|zero",
        help="Bins on a contig that a signal lacks: refuse, drop, or take the signal as 0.",
    ),
]
