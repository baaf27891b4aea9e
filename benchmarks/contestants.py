"""The rows of `quality.py`: how each network is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256


@dataclass(frozen=True)
class Row:
    """How one row of the table is trained.

    Attributes
    ----------
    arch, inputs : str
    motifs : 'own' or 'all'
    each : bool
        One factor at a time.
    elsewhere : bool
        Learn peaks of other cell types, too.
    options : tuple
        Of `tfbind train`.
    network : mapping
        Hyper-parameters.
    hard : bool
        Learn from hard negatives of the row that ablations begin with.
    """

    arch: str
    inputs: str
    motifs: str = "own"
    each: bool = False
    elsewhere: bool = False
    options: tuple[object, ...] = ()
    network: Mapping[str, object] = field(default_factory=dict)
    hard: bool = False

    @property
    def digest(self) -> str:
        """A few letters that are others for another row."""
        return sha256(repr(self).encode()).hexdigest()[:6]


ROWS = {
    "naive": Row("naive", "sequence,dnase,motif"),
    "boosted": Row("boosted", "sequence,dnase,motif,shape", network={"rounds": 200, "wait": 0}),
    "shallow": Row("shallow", "sequence,dnase", each=True, options=("--patience", 5)),
    "multitask": Row("multitask", "sequence,dnase", options=("--epochs", 5)),
    "best": Row("best", "sequence,dnase,motif", "all", elsewhere=True),
}

SMALL = {"ensemble": 1}
PLAIN = "one member of best"
PARTS = {
    PLAIN: Row("best", "sequence,dnase,motif", "all", elsewhere=True, network=SMALL),
    "motifs of its factors alone": Row(
        "best", "sequence,dnase,motif", elsewhere=True, network=SMALL
    ),
    "without peaks elsewhere": Row("best", "sequence,dnase,motif", "all", network=SMALL),
    "one factor at a time": Row(
        "best", "sequence,dnase,motif", "all", each=True, elsewhere=True, network=SMALL
    ),
    "without motifs": Row("best", "sequence,dnase", elsewhere=True, network=SMALL),
    "filters begin as motifs": Row(
        "best",
        "sequence,dnase",
        elsewhere=True,
        options=("--init", "own"),
        network=SMALL | {"width": 20},
    ),
    "without reverse complements": Row(
        "best",
        "sequence,dnase,motif",
        "all",
        elsewhere=True,
        options=("--one-strand",),
        network=SMALL,
    ),
    "with hard negatives": Row(
        "best", "sequence,dnase,motif", "all", elsewhere=True, network=SMALL, hard=True
    ),
    "with shape": Row("best", "sequence,dnase,motif,shape", "all", elsewhere=True, network=SMALL),
}
