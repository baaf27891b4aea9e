"""`tfbind bin`."""

from typing import Annotated

import typer

from .options import Force, Output
from .streams import writing


def bin_(
    genome: Annotated[
        str | None, typer.Argument(metavar="GENOME", envvar="TFBIND_FASTA", help="Genome.")
    ] = None,
    output: Output = "-",
    force: Force = False,
) -> None:
    """Write the bins of a genome as BED.

    For example:

        tfbind bin hg19.fa | head
    """
    import numpy as np

    from tfbind.genome import contig_sizes
    from tfbind.intervals import bed_lines

    with writing(output, force=force) as stream:
        for contig, size in contig_sizes(genome).items():
            starts = np.arange(0, size - 200 + 1, 50)
            stream.write(bed_lines(contig, starts, starts + 200))
