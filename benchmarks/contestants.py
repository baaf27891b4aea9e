"""The rows of `quality.py`: how each network is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
        Learn from hard negatives of `MINER`.
    joins : tuple of (str, int)
        Other rows, whose models `tfbind ensemble` joins, and what each counts.
    """

    arch: str
    inputs: str
    motifs: str = "own"
    each: bool = False
    elsewhere: bool = False
    options: tuple[object, ...] = ()
    network: Mapping[str, object] = field(default_factory=dict)
    hard: bool = False
    joins: tuple[tuple[str, int], ...] = ()

    @property
    def digest(self) -> str:
        """A few letters that are others for another row."""
        return sha256(repr(self).encode()).hexdigest()[:6]


MINER = Row("best", "sequence,dnase,motif", "all", elsewhere=True, network={"ensemble": 1})
"""Finds hard negatives: what it is most wrong about among the bins that it learns from."""

MEMBER = replace(MINER, hard=True)
PLAIN = "one member of best"

ROWS = {
    "naive": Row("naive", "sequence,dnase,motif"),
    "boosted": Row("boosted", "sequence,dnase,motif,shape", network={"rounds": 200, "wait": 0}),
    "shallow": Row("shallow", "sequence,dnase", each=True, options=("--patience", 5)),
    "multitask": Row("multitask", "sequence,dnase", options=("--epochs", 5)),
    "best": replace(MEMBER, network={}),
    "ensemble": Row(
        "ensemble", "", elsewhere=True, joins=(("best", 3), ("shallow", 1), ("boosted", 1))
    ),
}
OURS = ("best", "ensemble")

PARTS = {
    PLAIN: MEMBER,
    "without hard negatives": MINER,
    "motifs of its factors alone": replace(MEMBER, motifs="own"),
    "without motifs": replace(MEMBER, inputs="sequence,dnase"),
    "filters begin as motifs": replace(
        MEMBER,
        inputs="sequence,dnase",
        options=("--init", "own"),
        network={"ensemble": 1, "width": 20},
    ),
    "without reverse complements": replace(MEMBER, options=("--one-strand",)),
    "without peaks elsewhere": replace(MEMBER, elsewhere=False),
    "with shape": replace(MEMBER, inputs="sequence,dnase,motif,shape"),
    "one factor at a time": replace(MEMBER, each=True),
}
