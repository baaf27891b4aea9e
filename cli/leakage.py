"""Scores of bins that a model was trained on are too good to learn from."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from tfbind.errors import InputError, three

from .progress import say

if TYPE_CHECKING:
    from tfbind.contract import Contract
    from tfbind.matching import Table


def check_training_bins(
    scored: "Table",
    named: Collection[str],
    contract: "Contract",
    cell: str | None,
    *,
    allowed: bool,
    quiet: bool,
) -> None:
    """Refuse bins where a model was trained, but for those of another cell type.

    They are of `cell` only if that is among the names that scores and labels give to what they are
    of.
    """
    from tfbind.leakage import training_bins

    if not contract.trained_on:
        say(
            "the model does not tell where it was trained: nothing tells whether it knows these "
            "bins",
            quiet=quiet,
        )
        return
    count = training_bins(scored, contract)
    if not count:
        return
    where = (
        f"{count:,} of {len(scored.keys):,} bins lie in or next to {three(contract.trained_on)}, "
        f"where the model was trained on {three(contract.cells)}"
    )
    if allowed:
        say(f"{where}: their scores are too good", quiet=quiet)
        return
    other = cell is not None and cell not in contract.cells
    if other and cell in named:
        say(f"{where}; they are taken as those of another cell type, {cell}", quiet=False)
        return
    held = f", such as those of {three(contract.held_out)}" if contract.held_out else ""
    why = f"; nothing in scores and labels names {cell}" if other else ""
    raise InputError(
        f"{where}: their scores are too good{why}; give held-out bins{held}, or tell by --cell "
        "that they are of another cell type, as the name of the labels' column or of the signal's "
        "file does, or give --allow-training-bins",
        path=scored.path,
    )
