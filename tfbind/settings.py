"""How a network is fitted, as numbers and words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tfbind.errors import RequestError
from tfbind.tiles import PIECE

Ambiguous = Literal["drop", "unbound"]
BoundWeight = Literal["balanced", "one"]
Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes
    ----------
    epochs, patience : int
        Most passes over the tiles; passes without a better validation AUPRC before the end.
    batch : int
        Bins in a step; a multiple of `PIECE`.
    learning_rate : float
        Of Adam.
    ambiguous : 'drop' or 'unbound'
        Give ambiguous bins no weight, or learn them as unbound. Validation drops them.
    both_strands : bool
        Show each piece as it is or, at random, as its reverse complement.
    focus : float
        The gamma of the focal loss; 0: plain cross-entropy.
    seed : int
    bound_weight : 'balanced' or 'one'
        What a bound bin weighs: as many as there are unbound ones for each, or 1.
    schedule : 'constant' or 'cosine'
        Of the learning rate; cosine: from all of it at the first epoch along half a cosine to
        nearly nothing at the last (Loshchilov and Hutter 2017, equation 5, without restarts).
    clip : float
        Most that the norm of all gradients together may be; 0: any.

    Raises
    ------
    RequestError
        If a value is out of its range.
    """

    epochs: int = 50
    patience: int = 10
    batch: int = 256
    learning_rate: float = 1e-3
    ambiguous: Ambiguous = "drop"
    both_strands: bool = True
    focus: float = 0.0
    seed: int = 1
    bound_weight: BoundWeight = "balanced"
    schedule: Schedule = "constant"
    clip: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("patience", 1), ("focus", 0), ("seed", 0), ("clip", 0)):
            if not least <= getattr(self, name) < math.inf:
                raise RequestError(
                    f"found {name} {getattr(self, name)}, expected a finite number, {least} or more"
                )
        if self.batch < PIECE or self.batch % PIECE:
            raise RequestError(f"found batch {self.batch}, expected a multiple of {PIECE} bins")
        if not 0 < self.learning_rate < math.inf:
            raise RequestError(f"found learning_rate {self.learning_rate}, expected more than 0")
        for name, known in (
            ("ambiguous", Ambiguous),
            ("bound_weight", BoundWeight),
            ("schedule", Schedule),
        ):
            if getattr(self, name) not in get_args(known):
                raise RequestError(
                    f"found {name} {getattr(self, name)!r}, expected {' or '.join(get_args(known))}"
                )

    def rate(self, number: int) -> float:
        """Give the learning rate of an epoch, counted from one."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (number - 1) / self.epochs))


ROWS = frozenset({"ambiguous", "both_strands", "seed", "bound_weight"})
"""Settings that say which bins are learnt from and what they weigh."""

READ: Mapping[str, frozenset[str]] = {"naive": ROWS, "boosted": ROWS}
"""Settings that an architecture is fitted by, by its name; all, where it is not here."""

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "best": {
        "epochs": 8,
        "batch": 384,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "bound_weight": "one",
    },
    "boosted": {"bound_weight": "one"},
    "tss": {"epochs": 100, "bound_weight": "one"},
    "tss-lstm": {"epochs": 100, "bound_weight": "one"},
}
"""Settings that an architecture does best with, by its name, in place of the defaults."""
