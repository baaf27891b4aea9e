"""Which regions to hold out of training, where nobody says."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tfbind.errors import InputError
from tfbind.labels import BOUND
from tfbind.regions import Region
from tfbind.tilefiles import TileFile
from tfbind.tilesets import BLOCK, tasks_of


def draw_regions(
    files: Sequence[TileFile], share: float, seed: int, tasks: Sequence[str] | None = None
) -> list[Region]:
    """Draw whole regions of a megabase until they hold a share of all bins and some bound ones.

    They hold at most twice the share, or one megabase where that is more, and never all bound bins
    of a task: one that is bound in a single megabase has none in them.

    Parameters
    ----------
    files : sequence of TileFile
    share : float
        Of bins, and of the bound bins of each task.
    seed : int
    tasks : sequence of str, optional
        As `TileSet` takes them.

    Returns
    -------
    list of Region
        In the order of contigs and places.

    Raises
    ------
    InputError
        If the tiles lie in fewer than two such regions.
    """
    counts: dict[tuple[str, int], npt.NDArray[np.int64]] = {}
    tasks = tasks_of(files) if tasks is None else tasks
    for file in files:
        for place, count in _by_megabase(file, tasks).items():
            counts[place] = counts.get(place, 0) + count
    if len(counts) < 2:
        raise InputError(
            f"the tiles lie in {len(counts)} megabase(s), too few to hold one out; give "
            "--validate REGIONS or --validate TILES"
        )
    places = sorted(counts)
    drawn = draw_rows(np.stack([counts[place] for place in places]), share, seed)
    held_out = (places[row] for row in drawn)
    return [Region(contig, at * BLOCK, (at + 1) * BLOCK) for contig, at in held_out]


def draw_rows(counts: npt.NDArray[np.int64], share: float, seed: int) -> list[int]:
    """Draw rows of a table until each column's sum reaches a share of what all rows hold.

    The columns with the least come first, so that what is rare is not left to chance, and the first
    column last.

    Parameters
    ----------
    counts : ndarray, shape (rows, columns), int64
    share : float
    seed : int

    Returns
    -------
    list of int
        In order. No column has all it holds in them, nor more than twice the share or what one row
        has; so that a share may not be reached.
    """
    totals = counts.sum(axis=0)
    wanted = share * totals
    most = np.minimum(np.maximum(2 * wanted, counts.max(axis=0)), np.maximum(totals - 1, 0))
    order = np.random.default_rng(seed).permutation(len(counts))
    columns = 1 + np.argsort(totals[1:], kind="stable")
    drawn: list[int] = []
    have = np.zeros_like(totals)
    for column in [*columns.tolist(), 0]:
        for row in order.tolist():
            if have[column] >= wanted[column]:
                break
            held = have + counts[row]
            if row not in drawn and counts[row, column] and (held <= most).all():
                drawn.append(row)
                have = held
    return sorted(drawn) or [int(order[0])]


def _by_megabase(
    file: TileFile, tasks: Sequence[str]
) -> dict[tuple[str, int], npt.NDArray[np.int64]]:
    """Count the bins of each megabase, and those that are bound in each of some experiments."""
    places, which = np.unique(
        np.stack([file.codes, file.starts // BLOCK]), axis=1, return_inverse=True
    )
    counts = np.zeros((1 + len(tasks), places.shape[1]), np.int64)
    experiments = file.contents.experiments
    rows = [(row, name) for row, name in enumerate(tasks, 1) if name in experiments]
    for tiles, (weights, *labels) in file.label_parts():
        firsts = np.cumsum(file.bins[tiles]) - file.bins[tiles]
        labelled = dict(zip(experiments, labels, strict=True))
        bound = ((row, (labelled[name] == BOUND) & (weights > 0)) for row, name in rows)
        for row, column in [(0, weights), *bound]:
            np.add.at(counts[row], which[tiles], np.add.reduceat(column, firsts, dtype=np.int64))
    file.release()
    return {
        (file.contigs[code], at): counts[:, number]
        for number, (code, at) in enumerate(places.T.tolist())
    }
