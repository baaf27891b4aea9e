"""`tfbind score`."""

import os
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from tfbind.errors import InputError

from .foreign import (
    GraphInputs,
    GraphOutput,
    InputLayout,
    Size,
    Step,
    Stride,
    TaskNames,
    Window,
    described,
    foreign_model,
)
from .inputs import default_cell, open_sources, signal_files
from .options import (
    Alias,
    BedInput,
    Cell,
    ChrPrefix,
    Expression,
    Fasta,
    Files,
    Force,
    Missing,
    Quiet,
    Signals,
    Threads,
)
from .outputs import (
    Format,
    Layout,
    Place,
    Target,
    format_of,
    refuse_compressed,
    targets,
    tasks_of,
    told_format,
    write,
)
from .places import shard_in
from .progress import Tally, progress, say
from .resume import (
    about_scores,
    is_finished,
    journal_path,
    leave_finished,
    open_journal,
    refuse_other,
)
from .run import Options, Run, doubts, provenance, tell, wanted_files, wanted_signals
from .streams import is_pipe_or_device, is_regular, reading, refuse_terminal

if TYPE_CHECKING:
    from tfbind.intervals import IntervalReader, Intervals
    from tfbind.model import Model


def score(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="An .onnx file: of tfbind export, or a foreign one."),
    ],
    bed: BedInput = "-",
    fasta: Fasta = None,
    signal: Signals = None,
    channel: Files = None,
    cell: Cell = None,
    expression: Expression = None,
    format_: Annotated[
        Literal["bedgraph", "bed", "bigwig", "dream"] | None,
        typer.Option(
            "--format",
            metavar="bedgraph|bed|bigwig|dream",
            help="bedgraph and bigwig: each score on its bin's central stride; bed: each line with "
            "its score behind it; dream: a submission to the ENCODE-DREAM challenge, gzip. "
            "Default: what the name of the output ends in, or bedgraph.",
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
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Leave out the calibration that tfbind calibrate put into the model."
        ),
    ] = False,
    missing: Missing = "error",
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only part I of N of the bins of a file, not as bigWig; the outputs concatenate "
            "to the whole, submissions to the same text in other bytes.",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write here; - is standard output; {task} in the name stands for each task, "
            "{strand} for plus and minus.",
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
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local:N",
            help="Compute on the workers of a Dask scheduler (tcp://HOST:PORT or its JSON file), "
            "or on N of one thread that are started here; --threads has no say then.",
        ),
    ] = None,
    quiet: Quiet = False,
    graph_inputs: GraphInputs = None,
    window: Window = None,
    stride: Stride = None,
    step: Step = None,
    size: Size = None,
    graph_layout: InputLayout = None,
    graph_output: GraphOutput = None,
    task_names: TaskNames = None,
) -> None:
    """Score bins with a model, in the order in which they come.

    Reads BED, from tfbind bin for example, filtered or not: N bins in, N scores out. All else that
    it needs to know stands in the model. A foreign model, which tfbind did not make, is described
    by --input and the options behind it; what its graph tells need not be said.

    Writes bedGraph (the central 50 bp of a bin of 200 bp, so that neighbours touch), BED (the
    line as it was read, the score behind it), a bigWig with zoom levels or, into a file named
    .tab.gz, a submission to the ENCODE-DREAM challenge (the bin and its score, no header).

    A model that reads the strand of its bins, such as one of start sites, wants BED of 6 columns
    with + or - in the sixth; a bin of the reverse strand is turned round first, and on a track its
    score stands on its central base, counted along its strand (size / 2 from its start).

    For example:

    \b
        export TFBIND_FASTA=hg19.fa TFBIND_SIGNAL=K562.dnase.bw
        tfbind bin | tfbind score ctcf.onnx > preds.bedGraph
        tfbind bin | tfbind score ctcf.onnx --resume -o preds.bw
        tfbind score ctcf.onnx ladder_regions.bed.gz -o L.CTCF.GM12878.tab.gz
        tfbind bin --size 32 --stride 32 \\
          | tfbind score maxatac.onnx --input ACGT+atac --step 32 --signal atac=K562.bw -o preds.bw
    """
    from tfbind.pipeline import Times
    from tfbind.strands import stranded
    from tfbind.tiles import BinCheck

    foreign = foreign_model(
        window=window,
        stride=stride,
        step=step,
        size=size,
        inputs=graph_inputs,
        layout=graph_layout,
        output=graph_output,
        tasks=task_names,
    )
    how = Options(chunk, device, windows, tf32, foreign, threads, cluster, raw)
    format_ = format_of(format_, output)
    _refuse_odd(format_, output, shard, resume=resume)
    with reading(bed, what="BED") as (stream, path):
        reader, number, before = _reader(stream, path, shard)
        loaded = how.open(model)
        wanted = targets(output, task, loaded.contract, format_)
        if format_ == "dream":
            _check_submissions(wanted, loaded, quiet=quiet)
        goes_on = resume and journal_path(wanted).exists()
        place = Place(force or goes_on, resume)
        finished = resume and not place.force and is_finished(wanted)
        if not finished:
            place.refuse_existing(wanted)
        given = signal_files(signal)
        files = wanted_signals(loaded.contract, given, quiet)
        others = wanted_files(loaded.contract, channel, expression, quiet=quiet)
        if cell is not None and not loaded.contract.wants_cell:
            say("the model does not use the cell type", quiet=quiet)
        sources = open_sources(fasta, files, alias, chr_prefix, cell or default_cell(given), others)
        strands = loaded.contract.stranded
        check = BinCheck(loaded.contract.geometry, sources, path, missing, strands=strands)
        if strands and before is not None:
            before = stranded(before, path)
        run = Run(loaded, sources, check, how, quiet, Times())
        header = header and number == 1 and format_ != "dream"
        first = provenance(loaded, sources, described(foreign)) if header else b""
        layout = Layout(format_, first, loaded.contract, reader, before)
        if finished:
            refuse_other(wanted, layout)
            leave_finished(stream)
            known = "" if first and format_ != "bigwig" else " (by its name; --force replaces it)"
            say(f"{output} is complete{known}: nothing to do", quiet=quiet)
            return
        done = _score(run, wanted, layout, place, missing)
    tell(run, done)


def _score(run: Run, wanted: list[Target], layout: Layout, place: Place, missing: str) -> int:
    """Score the bins and write the files; give how many bins there were."""
    tasks = tasks_of(wanted)
    with ExitStack() as stack:
        journal = None
        if place.resumable:
            about = about_scores(run.model, run.sources, tasks, missing)
            journal = stack.enter_context(open_journal(wanted, about, run.quiet))
        bar = stack.enter_context(progress("score", "bins", total=None, quiet=run.quiet))
        tally = Tally(bar)
        stack.enter_context(doubts(run.model.contract, run.sources))
        scored = run.scored(layout.reader, tasks, journal, tally, stack)
        write(scored, wanted, layout, place, run.sources, run.times)
        if journal is not None:
            journal.path.unlink(missing_ok=True)
    return int(tally.total)


def _refuse_odd(format_: Format, output: str, shard: str | None, *, resume: bool) -> None:
    """Refuse what cannot be done whatever the model is."""
    told = told_format(output) or format_
    if told != format_:
        raise typer.BadParameter(f"the name {output} is that of a {told}, not of a {format_}")
    if format_ == "dream":
        refuse_terminal(output, "a submission is compressed")
        if output != "-" and not output.endswith(".gz") and not is_pipe_or_device(output):
            raise typer.BadParameter(
                f"a submission is compressed, expected a name such as F.CTCF.PC-3.tab.gz, found "
                f"{output}"
            )
    else:
        refuse_compressed(output, by="bgzip")
    if odd := re.search(r"\{(?!(task|strand)\})\w*\}", output):
        raise typer.BadParameter(
            f"found {odd[0]} in {output}, expected {{task}}, {{strand}} or nothing"
        )
    if format_ == "bigwig" and output == "-":
        raise typer.BadParameter("a bigWig cannot be written to a pipe: give -o FILE")
    if format_ == "bigwig" and shard is not None:
        raise typer.BadParameter(
            "parts of a bigWig cannot be joined: give --format bedgraph with --shard"
        )
    if os.path.isdir(output):
        raise InputError("is a folder, expected the name of a file", path=output)
    if resume and (output == "-" or is_pipe_or_device(output)):
        raise typer.BadParameter("--resume keeps scores beside a file: give -o FILE")


def _check_submissions(wanted: list[Target], model: "Model", *, quiet: bool) -> None:
    """Refuse bins that are not the challenge's, and note names that it would refuse."""
    from tfbind.dream import SIZE, check_name, parse_name

    if model.contract.geometry.size != SIZE:
        raise InputError(
            f"scores bins of {model.contract.geometry.size} bp, but the challenge's have {SIZE}; "
            "give --format bed",
            path=model.path,
        )
    for target in wanted:
        if target.path == "-" or is_pipe_or_device(target.path):
            continue
        try:
            check_name(target.path)
        except InputError as error:
            say(f"tfbind dream check refuses this name: {error}", quiet=quiet)
        name, task = parse_name(target.path), target.tasks[0]
        if name and task not in (name.factor, "bound", "score"):
            say(f"{target.path} is named after {name.factor} and holds {task}", quiet=quiet)


def _reader(
    stream: BinaryIO, path: str, shard: str | None
) -> "tuple[IntervalReader, int, Intervals | None]":
    """Read all bins, or the part that is asked for; tell which, and the bin before it."""
    from tfbind.bins import shard_bounds
    from tfbind.intervals import IntervalReader

    number, count = shard_in(shard)
    if count == 1:
        return IntervalReader(stream, path), 1, None
    if not is_regular(stream):
        raise typer.BadParameter(
            f"--shard counts the bins of a file first, but {path} is a pipe: give a file, or "
            f"tfbind bin --shard {shard} | tfbind score"
        )
    begin = stream.tell()
    total = IntervalReader(stream, path).count_all()
    first, last = shard_bounds(total, number, count)
    stream.seek(begin)
    before = next(iter(IntervalReader(stream, path, part=(first - 1, first))), None)
    stream.seek(begin)
    return IntervalReader(stream, path, part=(first, last)), number, before
