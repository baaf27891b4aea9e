"""`tfbind train`."""

import signal
from contextlib import ExitStack
from typing import Annotated, Literal

import typer

from .archs import NAMES
from .checkpoint import about_run, claimed
from .config import told
from .fitting import Run, keywords_of, leave
from .keras_backend import load_keras
from .learning import material, tile_file
from .machine import processors
from .options import (
    Alias,
    Channels,
    Chroms,
    ChrPrefix,
    Fasta,
    Force,
    Missing,
    Quiet,
    Regions,
    Seed,
    Threads,
)
from .progress import say
from .samples import Background, Exclude, Folder, Holdout, Samples, SheetOptions, paths_of_tiles
from .similar import CellsLike, TargetSignal, most_alike, refuse_unlike
from .starting import Init, Motifs, Pretrain, PretrainEpochs, files_of, start_of


def train(
    context: typer.Context,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write the .keras file here.")
    ],
    tiles: Annotated[
        list[str] | None, typer.Argument(metavar="TILES", help="Files from tfbind features.")
    ] = None,
    samples: Samples = None,
    folder: Folder = None,
    cells_like: CellsLike = None,
    target_signal: TargetSignal = None,
    arch: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"The architecture, which tfbind archs describes: {', '.join(NAMES)}.",
        ),
    ] = "shallow",
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="TOML: arch and inputs; [network], with what the architecture is built with, such "
            "as filters (tfbind archs --json lists it); [training], with ambiguous, batch, "
            "both_strands, bound_weight, clip, epochs, focus, learning_rate, patience, schedule "
            "and seed. Flags win over it.",
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Experiments to learn, in this order; default: all that the tiles hold.",
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Inputs to learn from; default: all that the tiles hold."),
    ] = None,
    transform: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]STEPS",
            help="Of signals, or of the one named: none, or some of rank (as the training cells "
            "have it), clip:VALUE, percentile:P (divide by it; of covered bases), log1p, zscore "
            "(of all bases of the training tiles), in this order, parted by commas; repeatable. "
            "Default: log1p.",
        ),
    ] = None,
    validate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGIONS|TILES",
            help="What to choose the best epoch by: regions held out of the training, such as "
            "chr9,chr10:1-20000000, or files of tiles; repeatable. Default: whole megabases with a "
            "tenth of the bins and of each experiment's bound bins, where they can be parted so.",
        ),
    ] = None,
    ambiguous: Annotated[
        Literal["drop", "unbound"],
        typer.Option(metavar="drop|unbound", help="What ambiguous bins are in training."),
    ] = "drop",
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Most passes.")] = 50,
    patience: Annotated[
        int, typer.Option(metavar="N", min=1, help="Passes without a better AUPRC before the end.")
    ] = 10,
    batch: Annotated[int, typer.Option(metavar="BINS", min=8, help="Bins in a step.")] = 256,
    learning_rate: Annotated[
        float, typer.Option(metavar="RATE", min=0, help="Of the Adam optimiser.")
    ] = 1e-3,
    schedule: Annotated[
        Literal["constant", "cosine"],
        typer.Option(
            metavar="constant|cosine",
            help="The learning rate over the epochs: the same, or down to nothing at the last.",
        ),
    ] = "constant",
    clip: Annotated[
        float,
        typer.Option(metavar="NORM", min=0, help="Most that the gradients' norm may be; 0: any."),
    ] = 0.0,
    bound_weight: Annotated[
        Literal["balanced", "one"],
        typer.Option(
            metavar="balanced|one",
            help="Let bound bins weigh as much as all unbound ones together, or each as any other.",
        ),
    ] = "balanced",
    focal: Annotated[
        float,
        typer.Option(
            metavar="GAMMA",
            min=0,
            help="Learn by the focal loss of this gamma, such as 2; 0: cross-entropy.",
        ),
    ] = 0.0,
    one_strand: Annotated[
        bool, typer.Option("--one-strand", help="Do not show reverse complements in training.")
    ] = False,
    init: Init = None,
    motifs: Motifs = None,
    pretrain: Pretrain = None,
    pretrain_epochs: PretrainEpochs = 10,
    background: Background = None,
    fasta: Fasta = None,
    channel: Channels = None,
    chroms: Chroms = None,
    region: Regions = None,
    holdout: Holdout = None,
    exclude: Exclude = None,
    missing: Missing = "error",
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="FROM:TO,...",
            help="For --arch tss and tss-lstm: blank all of the window but these stretches, in bp "
            "from its centre, ends included, such as -35:-20,-10:10.",
        ),
    ] = None,
    seed: Seed = 1,
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda:N,...",
            help="Train here, or on several such as cuda:0,cuda:1, each with a part of every "
            "batch, which needs JAX; auto: CUDA if there is one.",
        ),
    ] = "auto",
    threads: Threads = None,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Draw loss and AUPRC over the epochs: .png, .svg or .pdf; needs tfbind[plot].",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on behind the last epoch of a run that was killed or stopped, to the same "
            "network as without a break.",
        ),
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on tiles, of one or many cell types.

    Every batch mixes cell types and regions. --bound-weight says what bound bins weigh. --arch best
    stands for --epochs 8 --batch 384 --learning-rate 0.002 --schedule cosine --bound-weight one,
    --arch tss for --epochs 100 --bound-weight one, --arch tss-lstm for --epochs 100 --bound-weight
    one, and --arch boosted for --bound-weight one, where these are not given. The epoch with the
    best AUPRC on the validation part is kept; of several experiments it is the mean over those that
    have bound and unbound bins there. Ctrl-C and SIGTERM stop early, with status 130, and keep the
    best so far.

    Writes a .keras file with the model's contract inside, and beside it a .history.csv of the
    same name with a line for each epoch. After each epoch all that training needs to go on is kept
    in a file .keras.checkpoint, until it is done: --resume with the same options goes on from
    there; with --plot it also draws a run that is done.

    With --samples it makes the tiles itself, as tfbind bin, label, sample and features do, from a
    sheet with the columns cell, factor, peaks (conservative), relaxed, accessible, signal
    (NAME=FILE,...), expression, or labels (BED) in the place of peaks; paths are relative to it.
    What is of a cell type may stand in any of its lines. Windows are of 1,000 bp, bins of 200 bp,
    one every 50; others need the pipe. A factor that a cell type lacks is unknown there. --fasta,
    --channel, --chroms, --region, --holdout, --exclude, --background, --missing, --alias,
    --chr-prefix and --seed mean what they mean in these commands.

    The same tiles, options, --seed and --threads give the same network, bit for bit, on a CPU of
    the same kind with TensorFlow; a GPU or JAX may round otherwise.

    For example:

    \b
        tfbind train hela.tiles gm12878.tiles --validate chr9 -o ctcf.keras
        tfbind train --samples samples.tsv --tiles tiles --fasta hg19.fa --holdout chr1,chr8 \\
          --validate chr9 --arch multitask -o factors.keras
    """
    sheet = SheetOptions(
        samples,
        folder,
        fasta,
        chroms,
        region,
        holdout,
        exclude,
        background,
        channel,
        missing,
        alias,
        chr_prefix,
    )
    sheet.refuse_without(tiles or [], matching=bool(pretrain))
    refuse_unlike(cells_like, target_signal)
    outputs = claimed(output, plot, resume=resume, force=force)
    if resume and not (outputs.may_be_complete or outputs.checkpoint.exists()):
        say(f"nothing to resume: no {outputs.checkpoint}; begins with epoch 1", quiet=quiet)
    wanted = told(context, config)
    # A batch system ends a job by SIGTERM; the best network so far is kept then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    used = threads or processors()
    load_keras(device, used)
    network = keywords_of(wanted, keep)
    with ExitStack() as stack:
        paths = paths_of_tiles(
            tiles or [], sheet, wanted.settings.seed, stack, force=force, quiet=quiet
        )
        files = [tile_file(path, stack) for path in paths]
        if cells_like is not None:
            files = most_alike(files, cells_like, target_signal, wanted.settings.seed, quiet=quiet)
        about = about_run(context, wanted, network, files, used)
        about |= files_of(init, motifs, pretrain)
        if outputs.may_be_complete:
            leave(outputs, about, quiet=quiet)
            return
        run = Run(wanted, network, about, {"threads": used, "device": device}, outputs, quiet)
        run(
            lambda: material(
                files,
                validate or [],
                tasks,
                wanted.inputs,
                transform or [],
                wanted.settings.seed,
                stack,
            ),
            lambda learnt: start_of(
                init, motifs, pretrain, pretrain_epochs, learnt, alias, chr_prefix
            ),
        )
