"""`tfbind explain`: what a trained network has learnt, and what it sees in its inputs."""

import typer

from .attribute import attribute
from .average import average
from .edge import at_the_edge
from .explain_fasta import fasta
from .explain_filters import filters
from .explain_maximize import maximize

app = typer.Typer(
    name="explain",
    help="""Show what a trained network has learnt, and what it sees in its inputs.

    Each command looks at a .keras file of tfbind train in one way. Those that draw or compare
    motifs need the extra explain: pip install 'tfbind[train,explain]'.

    For example:

    \b
        export TFBIND_FASTA=hg19.fa TFBIND_SIGNAL=dnase=HeLa-S3.bw
        tfbind bin --region chrX:48000001-49000000 \\
          | tfbind explain attribute ctcf.keras -o ctcf.contributions.bw
        tfbind explain filters ctcf.keras labelled.bed --motifs JASPAR.meme --plot filters.png
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("attribute")(at_the_edge(attribute))
app.command("average")(at_the_edge(average))
app.command("filters")(at_the_edge(filters))
app.command("maximize")(at_the_edge(maximize))
app.command("fasta")(at_the_edge(fasta))
