"""From a sheet of samples to the tiles that `tfbind train` learns from."""

import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .features import TILE
from .inputs import open_sources
from .places import alias_in, places, read_interval_set, regions_in
from .progress import progress, say
from .streams import reading, writing

if TYPE_CHECKING:
    from tfbind.celltiles import Selection, Share
    from tfbind.contract import Input
    from tfbind.samplesheet import SampleSheet

BACKGROUND = 100_000
RECORD = "samples.json"
"""In the folder of tiles: what they were made from."""

TOLD_AS_TILES = (
    "samples",
    "folder",
    "fasta",
    "chroms",
    "region",
    "holdout",
    "exclude",
    "background",
    "channel",
    "missing",
)
"""Parameters that only the tiles depend on."""

MATCHING = ("alias", "chr_prefix")
"""Parameters that also match the contigs of what is learnt before."""

Samples = Annotated[
    str | None,
    typer.Option(
        "--samples",
        metavar="FILE",
        help="Make the tiles from this sheet: tab-separated, a header, a line for each factor in "
        "each cell type.",
    ),
]
Folder = Annotated[
    str | None,
    typer.Option(
        "--tiles",
        metavar="FOLDER",
        help="With --samples, keep the tiles here, or take those of the same sheet and options "
        "from here; default: a temporary folder.",
    ),
]
Background = Annotated[
    int | None,
    typer.Option(
        "--background",
        metavar="BINS",
        min=0,
        help="With --samples, how many bins of each cell type to draw that are neither accessible "
        "nor bound: once for all its peaks, and once for each of its files of labels; default: "
        f"{BACKGROUND:,}.",
    ),
]
Holdout = Annotated[
    list[str] | None,
    typer.Option(
        "--holdout",
        metavar="A,B",
        help="With --samples, no bins that overlap these chromosomes or regions; may be repeated.",
    ),
]
Exclude = Annotated[
    str | None,
    typer.Option(
        "--exclude",
        metavar="BED",
        envvar="TFBIND_BLACKLIST",
        help="With --samples, no bins that overlap these.",
    ),
]


@dataclass(frozen=True)
class SheetOptions:
    """What is said of the tiles that are made from a sheet, as the options have it."""

    samples: str | None
    folder: str | None = None
    fasta: str | None = None
    chroms: list[str] | None = None
    region: list[str] | None = None
    holdout: list[str] | None = None
    exclude: str | None = None
    background: int | None = None
    channel: list[str] | None = None
    missing: Literal["error", "skip", "zero"] = "error"
    alias: str | None = None
    chr_prefix: Literal["add", "strip"] | None = None

    @property
    def drawn(self) -> int:
        """How many bins of the background to draw."""
        return BACKGROUND if self.background is None else self.background

    @property
    def given(self) -> dict[str, Any]:
        """What is said beside the sheet and the folder."""
        return {name: getattr(self, name) for name in (*TOLD_AS_TILES[2:], *MATCHING)}

    def refuse_without(self, tiles: list[str], *, matching: bool) -> None:
        """Refuse what says nothing of tiles that are there already, and a want of any.

        With `matching` contigs of something else are to be matched.
        """
        if self.samples is not None:
            if self.fasta is None:
                raise typer.BadParameter("no genome: give --fasta FILE or set TFBIND_FASTA")
            return
        if not tiles:
            raise typer.BadParameter("nothing to learn from: give TILES or --samples FILE")
        said = {"tiles": self.folder} | self.given
        for name, value in said.items():
            # The environment may say these two.
            if matching and name in MATCHING:
                continue
            if value not in (None, "error") and name not in ("fasta", "exclude"):
                option = name.replace("_", "-")
                raise typer.BadParameter(f"found --{option} without --samples, which it is of")


def paths_of_tiles(
    tiles: list[str],
    options: SheetOptions,
    seed: int,
    stack: ExitStack,
    *,
    force: bool,
    quiet: bool,
) -> list[str]:
    """Give the paths of all tiles; those of a sheet are made, unless they are found made."""
    from tfbind.celltiles import shares
    from tfbind.samplesheet import read_sheet

    if options.samples is None:
        return tiles
    with reading(options.samples, what="--samples FILE") as (stream, path):
        samples = read_sheet(stream, path)
    parts = {
        _name(share, number): share
        for cell in samples.cells
        for number, share in enumerate(shares(cell))
    }
    folder = options.folder
    if folder is None:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tfbind."))
    else:
        plan = _plan(samples, options, seed) | {"tiles": list(parts)}
        _claim(Path(folder), plan, force=force, quiet=quiet)
    inputs = _inputs(samples, options)
    selection = _selection(options, seed)
    paths = [*tiles]
    for name, share in parts.items():
        target = Path(folder) / name
        if target.exists():
            say(f"{target}: made before", quiet=quiet)
        else:
            _make(samples, share, selection, options, inputs, target, quiet=quiet)
        paths.append(str(target))
    if selection.holdout is not None and selection.holdout.axis.asked:
        for contig in selection.holdout.unmet():
            say(f"--holdout {contig}: no bin is on it", quiet=False)
    return paths


def _name(share: "Share", number: int) -> str:
    """Name a file of tiles: by its cell type, and by a number where that has several.

    No cell type's name may have a ~.
    """
    return f"{share.cell.name}{f'~{number + 1}' if number else ''}.tiles"


def _make(
    samples: "SampleSheet",
    share: "Share",
    selection: "Selection",
    options: SheetOptions,
    inputs: "tuple[Input, ...]",
    target: Path,
    *,
    quiet: bool,
) -> None:
    """Write one file of tiles."""
    from tfbind.celltiles import CellTiles

    cell = share.cell
    files = {"expression": samples.expression} if samples.expression else {}
    with samples.told(cell.lines.get("signal", cell.lines["cell"]), "signal"):
        sources = open_sources(
            options.fasta, dict(cell.signals), options.alias, options.chr_prefix, cell.name, files
        )
    total = None if share.labels else len(selection.bins)
    with (
        writing(str(target), force=False) as out,
        progress(f"tiles of {cell.name}", "bins", total=total, quiet=quiet) as advance,
    ):
        made = CellTiles(samples, share, selection, sources, inputs)
        counts = made.write(out, TILE, advance)
    bound = ", ".join(f"{count} bound in {name}" for name, count in counts["bound"].items())
    say(f"{cell.name}: {counts['tiles']} tiles of {counts['bins']} bins; {bound}", quiet=quiet)


def _inputs(samples: "SampleSheet", options: SheetOptions) -> "tuple[Input, ...]":
    """Describe the inputs, which are the same for all cell types."""
    from tfbind.channels import channel, described
    from tfbind.contract import Input

    asked = [*(options.channel or [])]
    if samples.expression:
        asked.append(f"expression={samples.expression}")
    others = [described(text)[0] for text in asked]
    for spec in others:
        for cell in samples.cells if spec.along == "cell" else ():
            with samples.told(cell.lines["cell"], "cell"):
                channel(spec).of_cell(cell.name)
    signals = [Input(name, "signal", "float16") for name in samples.cells[0].signals]
    return (Input("sequence", "sequence", "uint8"), *signals, *others)


def _selection(options: SheetOptions, seed: int) -> "Selection":
    from tfbind.bins import grid
    from tfbind.celltiles import Selection
    from tfbind.contract import Geometry
    from tfbind.regions import RegionSet

    prefix, geometry = options.chr_prefix, Geometry()
    sizes, regions = places(
        options.fasta or "", options.chroms, options.region, options.alias, prefix
    )
    matching: dict[str, Any] = {"alias": alias_in(options.alias), "prefix": prefix}
    excluded = None
    if options.exclude is not None:
        excluded = read_interval_set(options.exclude, matching["alias"], prefix)
        excluded.axis.origins(list(sizes))
        excluded.axis.require_shared("the genome")
    held_out = regions_in("--holdout", options.holdout, {})
    return Selection(
        grid(sizes, geometry.size, geometry.stride, regions=regions),
        None if regions is None else RegionSet(regions, **matching),
        excluded,
        RegionSet(held_out, **matching) if held_out else None,
        options.drawn,
        seed,
        options.missing,
        options.alias,
        prefix,
    )


def _plan(samples: "SampleSheet", options: SheetOptions, seed: int) -> dict[str, Any]:
    """Write down what tiles are made from: sheet, options, and the size and time of each file."""
    import tfbind

    cells = json.loads(json.dumps([asdict(cell) for cell in samples.cells]))
    paths = {options.fasta, options.exclude, options.alias, samples.expression}
    paths |= {text.partition("=")[2] for text in options.channel or []}
    for cell in samples.cells:
        paths |= {cell.accessible, *cell.signals.values()}
        paths |= {path for one in cell.experiments for path in (one.labels, one.peaks, one.relaxed)}
    found = {path: os.stat(path) for path in sorted(filter(None, paths)) if Path(path).exists()}
    files = {path: [stat.st_size, stat.st_mtime_ns] for path, stat in found.items()}
    given = options.given | {"seed": seed, "background": options.drawn}
    return {"tfbind": tfbind.__version__, "options": given, "sheet": cells, "files": files}


def _claim(folder: Path, plan: dict[str, Any], *, force: bool, quiet: bool) -> None:
    """Take a folder for tiles; those in it must be of the same plan, or they are made again.

    Only what the record lists is ever removed: other files are not of this command.
    """
    from tfbind.errors import InputError

    if folder.exists() and not folder.is_dir():
        raise InputError("is a file, expected a folder for --tiles", path=folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    before = _recorded(record)
    for name in plan["tiles"]:
        if name not in before and (folder / name).exists():
            raise InputError(
                f"holds {name}, of which nothing says what it was made from; give another folder "
                "to --tiles, or move it away",
                path=folder,
            )
    if record.exists():
        differing = _differing(record, plan)
        if not differing:
            return
        if not force:
            raise InputError(
                f"holds tiles that were made with another {differing}; give another folder to "
                "--tiles, or --force to make them again",
                path=folder,
            )
    for name in before:
        if (folder / name).exists():
            say(f"{folder / name}: removed, of another plan", quiet=quiet)
            (folder / name).unlink()
    with writing(str(record), force=True) as out:
        out.write(json.dumps(plan, indent=1).encode() + b"\n")


def _recorded(record: Path) -> list[str]:
    """Name the files of tiles that a record lists, which lie beside it."""
    try:
        names = [str(name) for name in json.loads(record.read_text())["tiles"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if name == Path(name).name and name.endswith(".tiles")]


def _differing(record: Path, plan: dict[str, Any]) -> str:
    """Name what differs between a plan and the one in a record; nothing if they are the same."""
    try:
        before = json.loads(record.read_text())
        options = before["options"] | {}
    except (OSError, ValueError, KeyError, TypeError):
        return f"record than this tfbind reads, {RECORD}"
    for name, value in plan["options"].items():
        if options.get(name) != value:
            return f"--{name.replace('_', '-')}"
    named = {"tfbind": "version of tfbind", "sheet": "sheet"}
    for name, what in named.items():
        if before.get(name) != plan[name]:
            return what
    for path, stat in plan["files"].items():
        if before.get("files", {}).get(path) != stat:
            return f"{path}"
    return ""
