"""`tfbind score`."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from tfbind.errors import InputError, three

from .inputs import open_sources, signal_files
from .machine import memory, peak_memory, processors
from .options import (
    Alias,
    BedInput,
    ChrPrefix,
    Fasta,
    Force,
    Missing,
    Quiet,
    Signals,
    Threads,
)
from .outputs import (
    Format,
    Layout,
    Target,
    format_of,
    refuse_existing_targets,
    targets,
    write_bigwigs,
    write_text,
)
from .places import shard_in
from .progress import Advance, progress, say
from .resume import about_scores, is_finished, journal_path, leave_finished
from .streams import is_pipe_or_device, is_regular, reading, replacing, writing

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.contract import Contract
    from tfbind.intervals import IntervalReader, Intervals
    from tfbind.journal import Checked, Journal
    from tfbind.model import Model, Scores
    from tfbind.pipeline import Times
    from tfbind.tiles import BinCheck

Scored = Iterator[tuple["Intervals", "Scores"]]


def score(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file of tfbind export.")],
    bed: BedInput = "-",
    fasta: Fasta = None,
    signal: Signals = None,
    format_: Annotated[
        Literal["bedgraph", "bed", "bigwig"] | None,
        typer.Option(
            "--format",
            metavar="bedgraph|bed|bigwig",
            help="bedgraph and bigwig: each score on its bin's central stride; bed: each line with "
            "its score behind it. Default: what the name of the output ends in, or bedgraph.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a model's several outputs, write this one."),
    ] = None,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Begin with a line on model and inputs.")
    ] = True,
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda:N,...",
            help="Compute here, or on several such as cuda:0,cuda:1; auto: CUDA if there is one.",
        ),
    ] = "auto",
    tf32: Annotated[
        bool,
        typer.Option(
            "--tf32", help="Let a GPU compute with TF32: faster, with errors of about 1e-3."
        ),
    ] = False,
    chunk: Annotated[
        int | None,
        typer.Option(
            metavar="BINS",
            min=1,
            max=65_536,
            help="Bins that are computed at a time, asked for or not: 16 suits scattered bins and "
            "small scaffolds. Default: 256, or 32 for windows; 16 times that on a GPU.",
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
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only part I of N of the bins of a file; the outputs concatenate to the whole.",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write here; - is standard output; {task} in the name stands for each task.",
        ),
    ] = "-",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep scores in FILE.journal until FILE is complete, and go on from there after "
            "a kill.",
        ),
    ] = False,
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
        tfbind bin | tfbind score ctcf.onnx --resume -o preds.bw
    """
    from tfbind.model import Model
    from tfbind.pipeline import Times
    from tfbind.tiles import BinCheck

    format_ = format_of(format_, output)
    _refuse_odd(format_, output, shard, resume=resume)
    with reading(bed, what="BED") as (stream, path):
        reader, number = _reader(stream, path, shard)
        loaded = Model(model, chunk=chunk, device=device, windows=windows, tf32=tf32)
        wanted = targets(output, task, loaded.contract.tasks, format_)
        if resume and not force and is_finished(wanted):
            leave_finished(wanted, stream)
            say(f"{output} is complete: nothing to do", quiet=quiet)
            return
        refuse_existing_targets(wanted, force=force or resume)
        files = _wanted_signals(loaded.contract, signal_files(signal), quiet)
        sources = open_sources(fasta, files, alias, chr_prefix)
        check = BinCheck(loaded.contract.geometry, sources, path, missing)
        run = Run(loaded, sources, check, threads or _affordable(loaded), Times())
        first = _provenance(loaded, sources) if header and number == 1 else b""
        with ExitStack() as stack:
            advance = stack.enter_context(progress("score", "bins", total=None, quiet=quiet))
            journal = stack.enter_context(_journal(run, wanted, missing)) if resume else None
            if journal is not None and journal.bins:
                say(f"{journal.bins:,} bins were scored before: going on from there", quiet=quiet)
            scored = run.scored(reader, wanted, journal, advance)
            _write(scored, run, wanted, Layout(format_, first), path, force=force, resume=resume)
        if journal is not None:
            journal.path.unlink()
    _tell(run, windows, quiet)


@dataclass(frozen=True)
class Run:
    """What a stream of bins is scored with."""

    model: "Model"
    sources: "Sources"
    check: "BinCheck"
    threads: int
    times: "Times"

    def scored(
        self,
        reader: "IntervalReader",
        wanted: Sequence[Target],
        journal: "Journal | None",
        advance: Advance,
    ) -> Scored:
        """Give batches and the scores of the wanted tasks; parsing and scoring go on at once."""
        from tfbind.pipeline import ahead
        from tfbind.scoring import score as score_bins
        from tfbind.tiles import Stretches

        contract = self.model.contract
        columns = [contract.tasks.index(name) for target in wanted for name in target.tasks]
        stretches = Stretches(contract.geometry, contract.inputs, self.sources)

        def compute(batches: "Iterable[Checked]") -> Scored:
            for batch, scores in score_bins(
                batches, self.model, stretches, self.threads, self.times
            ):
                yield batch, scores[:, columns]

        checked = ahead(self.times.drawing("parse", map(self.check, reader)))
        scored = compute(checked) if journal is None else journal.resume(checked, compute)
        return ahead(self.times.drawing("plan", _counted(scored, advance)))


def _refuse_odd(format_: Format, output: str, shard: str | None, *, resume: bool) -> None:
    """Refuse what cannot be done whatever the model is."""
    if format_ == "bigwig" and output == "-":
        raise typer.BadParameter("a bigWig cannot be written to a pipe: give -o FILE")
    if format_ == "bigwig" and shard is not None:
        raise typer.BadParameter(
            "parts of a bigWig cannot be joined: give --format bedgraph with --shard"
        )
    if resume and (output == "-" or is_pipe_or_device(output)):
        raise typer.BadParameter("--resume keeps scores beside a file: give -o FILE")


def _reader(stream: BinaryIO, path: str, shard: str | None) -> tuple["IntervalReader", int]:
    """Read all bins, or the part that is asked for; tell which."""
    from tfbind.bins import shard_bounds
    from tfbind.intervals import IntervalReader

    number, count = shard_in(shard)
    if count == 1:
        return IntervalReader(stream, path), 1
    if not is_regular(stream):
        raise typer.BadParameter(
            f"--shard counts the bins of a file first, but {path} is a pipe: give a file, or "
            f"tfbind bin --shard {shard} | tfbind score"
        )
    begin = stream.tell()
    total = IntervalReader(stream, path).count_all()
    stream.seek(begin)
    return IntervalReader(stream, path, part=shard_bounds(total, number, count)), number


def _affordable(model: "Model") -> int:
    """Count the threads that processors and memory allow; scores do not depend on it."""
    before = peak_memory()
    model.warm_up()
    a_call = max(peak_memory() - before, 1)
    return max(min(processors(), memory() // (2 * a_call)), 1)


def _journal(run: Run, wanted: Sequence[Target], missing: str) -> "Journal":
    from tfbind.journal import Journal

    tasks = [name for target in wanted for name in target.tasks]
    about = about_scores(run.model, run.sources, ",".join(tasks), missing)
    return Journal(journal_path(wanted), about, len(tasks))


def _counted(scored: Scored, advance: Advance) -> Scored:
    for batch, scores in scored:
        yield batch, scores
        advance(len(batch))


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
    return "\t".join(parts).encode()


def _write(
    scored: Scored,
    run: Run,
    wanted: Sequence[Target],
    layout: Layout,
    path: str,
    *,
    force: bool,
    resume: bool,
) -> None:
    """Write all files; each takes its name when it is complete."""

    def options(output: str) -> dict[str, Any]:
        return {"force": force or resume, "part": f"{output}.part" if resume else None}

    contract = run.model.contract
    if layout.format == "bigwig":
        write_bigwigs(
            scored,
            wanted,
            contract,
            run.sources,
            path,
            lambda output: replacing(output, **options(output)),
            run.times,
        )
    else:
        write_text(
            scored,
            wanted,
            contract,
            layout,
            path,
            lambda output: writing(output, **options(output)),
            run.times,
        )


def _tell(run: Run, windows: bool, quiet: bool) -> None:
    model, check = run.model, run.check
    way = "scanned" if model.scans else "in windows"
    why = "" if model.scans or windows else ", as this network cannot scan"
    several = f" on {model.devices} devices" if model.devices > 1 else ""
    say(f"scored {way}{why}, by ONNX Runtime on {model.provider}{several}", quiet=quiet)
    shares = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in run.times.seconds.items())
    say(f"processor time: {shares}", quiet=quiet)
    if model.calls > 1:
        say(
            f"the GPU's memory did not hold {model.chunk} bins: computed in {model.calls} calls a "
            f"chunk; --chunk {model.chunk // model.calls} tries no larger ones",
            quiet=quiet,
        )
    if check.skipped:
        say(f"{check.skipped} bins skipped on contigs without signal", quiet=quiet)
    if check.zeroed:
        say(f"{check.zeroed} bins scored with a signal of 0 for want of a contig", quiet=quiet)
