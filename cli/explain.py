"""`tfbind explain`: what a trained network has learnt."""

import typer

from .edge import at_the_edge
from .explain_fasta import fasta
from .explain_filters import filters
from .explain_maximize import maximize

app = typer.Typer(
    name="explain",
    help="""Show what a trained network has learnt.

    Each command looks at a .keras file of tfbind train in one way. They need the extra explain:
    pip install 'tfbind[train,explain]'.

    For example:

    \b
        export TFBIND_FASTA=hg19.fa TFBIND_SIGNAL=dnase=HeLa-S3.bw
        tfbind explain filters ctcf.keras labelled.bed --motifs JASPAR.meme --png filters.png
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("filters")(at_the_edge(filters))
app.command("maximize")(at_the_edge(maximize))
app.command("fasta")(at_the_edge(fasta))
