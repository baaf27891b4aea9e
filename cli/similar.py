"""`tfbind similar`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import InputError

from .options import Alias, ChrPrefix, Force, Output, Quiet, Seed
from .places import alias_in
from .progress import progress, say
from .streams import refuse_existing, writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfbind.similarity import CellTrack, Similarity
    from tfbind.tilefiles import TileFile

CellsLike = Annotated[
    str | None,
    typer.Option(
        "--cells-like",
        metavar="CELL:N",
        help="Of the cell types learn from the N that are most alike to CELL, as tfbind similar "
        "ranks them; tiles of CELL itself are left out.",
    ),
]
TargetSignal = Annotated[
    str | None,
    typer.Option(
        "--target-signal",
        metavar="[NAME=]FILE",
        help="With --cells-like, the bigWig of CELL, and which signal it is where tiles hold "
        "several; default: the signal in the tiles of CELL.",
    ),
]

HEADER = ("rank", "cell", "signal", "expression", "combined")


def similar(
    cells: Annotated[
        list[str],
        typer.Argument(
            metavar="[CELL=]FILE...",
            help="Training cell types: bigWigs, or files of tiles. A cell type is named as its "
            "tiles are, or after its file up to the first dot.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            metavar="[CELL=]FILE",
            help="The cell type that is to be predicted: a bigWig, or tiles.",
        ),
    ],
    expression: Annotated[
        str | None,
        typer.Option(
            "--expression",
            metavar="FILE",
            help="Values of cell types, tab-separated, below a header, the first column the cell "
            "type.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The signal to compare, where tiles hold several."),
    ] = None,
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    seed: Seed = 1,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Rank training cell types by how alike they are to a cell type to predict.

    Compares tracks of open chromatin, such as DNase or ATAC, which all are to be of one assay:
    the rank correlation of their means in bins of 1,000 bp, in those bins where any of the tracks
    is open, among its highest tenth and not 0. Of genomes of more than 100 Mb so much is drawn, in
    stretches of 100 kb. With --expression it also correlates the vectors of expression, each value
    standardised over all cell types of the table, and ranks by the mean of both correlations.

    Tiles tell of some bins only: those of no tiles do not count, and what only other cell types'
    tiles hold is taken as closed. Give bigWigs where you have them.

    Writes a header and a line for each cell type, the most alike first: rank, cell, signal,
    expression, combined, parted by tabs; expression is NA if none is given. The target itself is
    left out of the cell types.

    For example:

    \b
        tfbind similar --target K562.dnase.bw HeLa-S3.dnase.bw GM12878.dnase.bw HUVEC.dnase.bw
        tfbind similar --target K562.dnase.bw *.dnase.bw --expression tpm.tsv \\
          | awk 'NR > 1 && NR < 4 {print $2}'
    """
    refuse_existing(output, force=force)
    from tfbind.cells import read_cell_table
    from tfbind.similarity import ranked_cells

    (wanted,) = tracks_of([target], name)
    others = [one for one in tracks_of(cells, name) if one.cell != wanted.cell]
    if not others:
        raise InputError(f"found no cell type but the target, {wanted.cell}; name them CELL=FILE")
    table = None if expression is None else read_cell_table(expression)
    with progress("compare", "bins", total=None, quiet=quiet) as advance:
        ranked, bins = ranked_cells(
            wanted,
            others,
            table,
            seed=seed,
            alias=alias_in(alias),
            prefix=chr_prefix,
            advance=advance,
        )
    with writing(output, force=force) as stream:
        stream.write(b"\t".join(one.encode() for one in HEADER) + b"\n")
        for number, one in enumerate(ranked, 1):
            stream.write(_line(number, one).encode())
    say(
        f"compared {len(ranked)} cell types with {wanted.cell} in {bins:,} bins of 1,000 bp that "
        "some of them has open",
        quiet=quiet,
    )


def _line(number: int, one: "Similarity") -> str:
    values = (one.signal, one.expression, one.combined)
    shown = ["NA" if value is None else f"{value:.6f}" for value in values]
    return "\t".join([str(number), one.cell, *shown]) + "\n"


def tracks_of(given: "Sequence[str]", name: str | None) -> "list[CellTrack]":
    """Open bigWigs and files of tiles; those of one cell type are one track."""
    from tfbind.similarity import SignalTrack
    from tfbind.tilefiles import TileFile

    found: list[CellTrack] = []
    tiles: dict[str, list[TileFile]] = {}
    for text in given:
        cell, path = _named(text)
        if _is_bigwig(path):
            from tfbind.signal import Signal

            found.append(SignalTrack(cell or Path(path).name.split(".")[0], Signal(path)))
            continue
        file = TileFile(path)
        if cell not in ("", file.contents.cell):
            raise InputError(f"is of {file.contents.cell}, expected tiles of {cell}", path=path)
        tiles.setdefault(file.contents.cell, []).append(file)
    return [*found, *(tile_track(files, name) for files in tiles.values())]


def tile_track(files: "list[TileFile]", name: str | None) -> "CellTrack":
    """Make a track of the tiles of one cell type, of a signal that need not be named if alone."""
    from tfbind.similarity import TileTrack

    for file in files:
        held = [spec.name for spec in file.contents.inputs if spec.source == "signal"]
        if name is None and len(held) != 1:
            raise InputError(
                f"holds {len(held)} signals ({', '.join(held) or 'none'}), expected one to compare"
                + ("; choose it by --name" if held else ""),
                path=file.path,
            )
        name = name or held[0]
        if name not in held:
            raise InputError(
                f"holds no signal {name!r}, but {', '.join(held) or 'none'}", path=file.path
            )
    return TileTrack(files, str(name))


def _named(text: str) -> tuple[str, str]:
    """Part CELL=FILE; a file's name may hold an equals sign itself."""
    cell, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        return "", text
    if not cell or not path:
        raise typer.BadParameter(f"found {text!r}, expected [CELL=]FILE")
    return cell, path


def _is_bigwig(path: str) -> bool:
    from tfbind.genome import BIGWIG_MAGICS

    try:
        with open(path, "rb") as stream:
            return stream.read(4) in BIGWIG_MAGICS
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error


def most_alike(
    files: "list[TileFile]", like: str, target: str | None, seed: int, *, quiet: bool
) -> "list[TileFile]":
    """Choose the tiles of the cell types that are most alike to one, as `train --cells-like` says.

    That one's own tiles are left out; they are compared where no track of it is given.
    """
    from tfbind.signal import Signal
    from tfbind.similarity import SignalTrack, ranked_cells

    cell, count = _like(like)
    name, path = _named(target) if target else ("", "")
    known: dict[str, list[TileFile]] = {}
    for file in files:
        known.setdefault(file.contents.cell, []).append(file)
    own = known.pop(cell, [])
    if len(known) < count:
        raise InputError(
            f"found tiles of {len(known)} cell type(s) other than {cell}, expected the {count} of "
            f"--cells-like {like} or more"
        )
    if not own and not target:
        raise InputError(
            f"found no tiles of {cell} to compare others with; give its track by --target-signal"
        )
    wanted = SignalTrack(cell, Signal(path)) if target else tile_track(own, None)
    others = [tile_track(some, name or None) for some in known.values()]
    ranked, _ = ranked_cells(wanted, others, seed=seed)
    chosen = [one.cell for one in ranked[:count]]
    shown = ", ".join(f"{one.cell} {one.signal:.3f}" for one in ranked)
    say(f"like {cell}: {shown}; learns from {', '.join(chosen)}", quiet=quiet)
    return [file for file in files if file.contents.cell in chosen]


def refuse_unlike(like: str | None, target: str | None) -> None:
    """Refuse what the options of `train` say wrongly, before anything is loaded for them."""
    if like is not None:
        _like(like)
    elif target is not None:
        raise typer.BadParameter("--target-signal is what --cells-like compares with: give both")


def _like(text: str) -> tuple[str, int]:
    """Read CELL:N."""
    cell, _, count = text.rpartition(":")
    if not cell or not count.isascii() or not count.isdigit() or int(count) < 1:
        raise typer.BadParameter(f"found --cells-like {text!r}, expected CELL:N, such as K562:2")
    return cell, int(count)
