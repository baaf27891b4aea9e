"""The command line: each command parses, calls the library and writes.

Command modules import the library inside their functions, so that help is instant and only the
commands that train load TensorFlow.
"""

import os
import signal
import sys
from typing import Annotated

import typer

from . import archs as archs_module
from . import bin as bin_module
from . import calibrate as calibrate_module
from . import cut_sites as cut_sites_module
from . import dream as dream_module
from . import ensemble as ensemble_module
from . import evaluate as evaluate_module
from . import explain as explain_module
from . import export as export_module
from . import features as features_module
from . import fetch as fetch_module
from . import info as info_module
from . import label as label_module
from . import sample as sample_module
from . import scan as scan_module
from . import score as score_module
from . import shape as shape_module
from . import similar as similar_module
from . import train as train_module
from .command import Command
from .edge import at_the_edge
from .versions import show_versions

app = typer.Typer(
    name="tfbind",
    help="""Transcription-factor binding tracks for whole genomes.

    Each command does one step and pipes into the next: genomes, reads, intervals and tiles in,
    intervals, tracks, tiles and scores out.

    For example:

    \b
        export TFBIND_FASTA=hg19.fa TFBIND_SIGNAL=K562.dnase.bw
        tfbind bin | tfbind score ctcf.onnx > preds.bedGraph
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("fetch")(at_the_edge(fetch_module.fetch))
app.command("signal")(at_the_edge(cut_sites_module.signal))
app.command("bin")(at_the_edge(bin_module.bin_))
app.command("label")(at_the_edge(label_module.label))
app.command("sample")(at_the_edge(sample_module.sample))
app.command("features")(at_the_edge(features_module.features))
app.command("archs")(at_the_edge(archs_module.archs))
app.command("similar")(at_the_edge(similar_module.similar))
app.command("train")(at_the_edge(train_module.train))
app.command("export")(at_the_edge(export_module.export))
app.command("ensemble")(at_the_edge(ensemble_module.ensemble))
app.command("info")(at_the_edge(info_module.info))
app.command("score")(at_the_edge(score_module.score))
app.command("evaluate")(at_the_edge(evaluate_module.evaluate))
app.command("calibrate")(at_the_edge(calibrate_module.calibrate))
app.command("scan")(at_the_edge(scan_module.scan))
app.command("shape")(at_the_edge(shape_module.shape))
app.add_typer(explain_module.app)
app.add_typer(dream_module.app)
for commands in (app, explain_module.app, dream_module.app):
    for command in commands.registered_commands:
        command.cls = Command


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=show_versions,
            is_eager=True,
            help="Show the versions of tfbind, its libraries and ONNX Runtime's providers.",
        ),
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


def main() -> None:
    """Run the command line; asked to end, leave nothing half-written behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    if sys.stderr is None:  # closed by 2>&-: messages must not reach the next file that is opened
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    app()
