"""`tfbind explain`: what a network has learnt, and what it sees in its inputs."""

import typer

from .attribute import attribute
from .average import average
from .edge import at_the_edge

app = typer.Typer(
    name="explain",
    help="""Show what a trained network has learnt, and what it sees in its inputs.

    Each command looks at a .keras file of tfbind train in one way.

    For example:

    \b
        export TFBIND_FASTA=hg19.fa TFBIND_SIGNAL=dnase=HeLa-S3.bw
        tfbind bin --region chrX:48000001-49000000 \\
          | tfbind explain attribute ctcf.keras -o ctcf.contributions.bw
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("attribute")(at_the_edge(attribute))
app.command("average")(at_the_edge(average))
