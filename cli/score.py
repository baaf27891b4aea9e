"""`tfbind score`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tfbind.errors import InputError, three

from .inputs import open_sources, signal_files
from .machine import processors
from .options import (
    Alias,
    BedInput,
    ChrPrefix,
    Fasta,
    Force,
    Missing,
    Output,
    Quiet,
    Signals,
    Threads,
)
from .progress import advancing, progress, say
from .streams import reading, replacing, writing

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.contract import Contract
    from tfbind.intervals import Intervals
    from tfbind.model import Model, Scores
    from tfbind.tiles import BinCheck

Scored = Iterator[tuple["Intervals", "Scores"]]


def score(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file of tfbind export.")],
    bed: BedInput = "-",
    fasta: Fasta = None,
    signal: Signals = None,
    format_: Annotated[
        Literal["bedgraph", "bed", "bigwig"],
        typer.Option(
            "--format",
            metavar="bedgraph|bed|bigwig",
            help="bedgraph and bigwig: each score on its bin's central stride; bed: each line with "
            "its score behind it.",
        ),
    ] = "bedgraph",
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a model's several outputs, write this one."),
    ] = None,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Begin with a line on model and inputs.")
    ] = True,
    device: Annotated[
        str,
        typer.Option(metavar="auto|cpu|cuda[:N]", help="Compute here; auto: CUDA if there is one."),
    ] = "auto",
    chunk: Annotated[
        int | None,
        typer.Option(
            metavar="BINS",
            min=1,
            max=65_536,
            help="Bins that are computed at a time, asked for or not: 16 suits scattered bins and "
            "small scaffolds. Default: 256, or 32 for windows.",
        ),
    ] = None,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows", help="Give the network one window a bin: slow, for comparison only."
        ),
    ] = False,
    missing: Missing = "error",
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    output: Output = "-",
    force: Force = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Score bins with a model, in the order in which they come.

    Reads BED, from tfbind bin for example, filtered or not: N bins in, N scores out. All else that
    it needs to know stands in the model.

    Writes bedGraph (the central 50 bp of a bin of 200 bp, so that neighbours touch), BED (the
    line as it was read, the score behind it) or a bigWig with zoom levels.

    For example:

    \b
        export TFBIND_FASTA=hg19.fa TFBIND_SIGNAL=K562.dnase.bw
        tfbind bin | tfbind score ctcf.onnx > preds.bedGraph
    """
    from tfbind.intervals import IntervalReader
    from tfbind.model import Model
    from tfbind.scoring import score as score_bins
    from tfbind.tiles import BinCheck, Stretches

    if format_ == "bigwig" and output == "-":
        raise typer.BadParameter("a bigWig cannot be written to a pipe: give -o FILE")
    with reading(bed, what="BED") as (stream, path):
        loaded = Model(model, chunk=chunk, device=device, windows=windows)
        contract = loaded.contract
        column = _task_column(contract, task, format_)
        files = _wanted_signals(contract, signal_files(signal), quiet)
        sources = open_sources(fasta, files, alias, chr_prefix)
        check = BinCheck(contract.geometry, sources, path, missing)
        stretches = Stretches(contract.geometry, contract.inputs, sources)
        with progress("score", "bins", total=None, quiet=quiet) as advance:
            batches = map(check, advancing(IntervalReader(stream, path), advance))
            scored = score_bins(batches, loaded, stretches, threads or processors())
            if format_ == "bigwig":
                _write_bigwig(scored, column, contract, sources, path, output, force)
            else:
                first = _provenance(loaded, sources) if header else b""
                _write_text(scored, column, contract, path, format_, first, output, force)
    _tell(loaded, check, windows, quiet)


def _task_column(contract: "Contract", task: str | None, format_: str) -> int | None:
    """Find the output to write; None stands for all of them."""
    if task is not None:
        if task not in contract.tasks:
            raise typer.BadParameter(f"no task {task!r}: there is {', '.join(contract.tasks)}")
        return contract.tasks.index(task)
    if len(contract.tasks) > 1 and format_ != "bed":
        raise typer.BadParameter(
            f"the model has the tasks {', '.join(contract.tasks)}: choose one by --task, or write "
            "all by --format bed"
        )
    return 0 if len(contract.tasks) == 1 else None


def _wanted_signals(contract: "Contract", files: dict[str, str], quiet: bool) -> dict[str, str]:
    """Match files to the signals that the model wants; an unnamed file is its only signal."""
    wanted = [spec.name for spec in contract.signals]
    if len(wanted) == 1 and list(files) == ["signal"]:
        return {wanted[0]: files["signal"]}
    found = {name: files[name] for name in wanted if name in files}
    if len(found) < len(wanted):
        lacking = next(name for name in wanted if name not in found)
        raise InputError(
            f"the model wants the signal {lacking!r}, but found {three(files)}; "
            f"give --signal {lacking}=FILE or set TFBIND_SIGNAL"
        )
    for name in files:
        if name not in wanted:
            say(f"the model does not use the signal {name!r}", quiet=quiet)
    return found


def _provenance(model: "Model", sources: "Sources") -> bytes:
    import tfbind

    signals = [f"signal:{name}={Path(one.path).name}" for name, one in sources.signals.items()]
    parts = [
        "#tfbind",
        f"version={tfbind.__version__}",
        f"model={Path(model.path).name}",
        f"sha256={model.sha256}",
        f"chunk={model.chunk}",
        *([] if model.scans else ["windows"]),
        f"genome={Path(sources.genome.path).name}",
        *signals,
    ]
    return "\t".join(parts).encode() + b"\n"


def _write_text(
    scored: Scored,
    column: int | None,
    contract: "Contract",
    path: str,
    format_: Literal["bedgraph", "bed"],
    first: bytes,
    output: str,
    force: bool,
) -> None:
    from tfbind.tracks import Centres, bed_score_lines, bedgraph_lines

    centres = Centres(contract.geometry, path)
    columns = slice(None) if column is None else slice(column, column + 1)
    with writing(output, force=force) as out:
        out.write(first)
        for number, (batch, scores) in enumerate(scored):
            if format_ == "bed" and number == 0 and first and column is None:
                named = [f"column{i + 4}" for i in range(len(batch.extra))] + list(contract.tasks)
                out.write("\t".join(["#contig", "start", "end", *named]).encode() + b"\n")
            if format_ == "bed":
                out.write(bed_score_lines(batch, scores[:, columns]))
            else:
                out.write(bedgraph_lines(batch, scores[:, columns][:, 0], centres))


def _write_bigwig(
    scored: Scored,
    column: int | None,
    contract: "Contract",
    sources: "Sources",
    path: str,
    output: str,
    force: bool,
) -> None:
    from tfbind.tracks import BigWigWriter, Centres

    names = sources.names(tuple(sources.genome.sizes), sources.genome.path)
    with replacing(output, force=force) as part:
        centres = Centres(contract.geometry, path, ordered=True)
        with BigWigWriter(part, sources.genome.sizes, centres) as writer:
            for batch, scores in scored:
                found = {contig: names.resolve(contig) for contig in batch.contigs}
                writer.add(batch, scores[:, column or 0], found)


def _tell(model: "Model", check: "BinCheck", windows: bool, quiet: bool) -> None:
    way = "scanned" if model.scans else "in windows"
    why = "" if model.scans or windows else ", as this network cannot scan"
    say(f"scored {way}{why}, by ONNX Runtime on {model.provider}", quiet=quiet)
    if check.skipped:
        say(f"{check.skipped} bins skipped on contigs without signal", quiet=quiet)
    if check.zeroed:
        say(f"{check.zeroed} bins scored with a signal of 0 for want of a contig", quiet=quiet)
