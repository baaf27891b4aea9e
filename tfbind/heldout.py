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
    wanted = share * sum(counts.values(), np.zeros(1, np.int64))
    drawn: list[tuple[str, int]] = []
    have = np.zeros_like(wanted)
    for index in np.random.default_rng(seed).permutation(len(places))[:-1]:
        if (have >= wanted).all():
            break
        drawn.append(places[index])
        have = have + counts[places[index]]
    return [Region(contig, at * BLOCK, (at + 1) * BLOCK) for contig, at in sorted(drawn)]


def _by_megabase(
    file: TileFile, tasks: Sequence[str]
) -> dict[tuple[str, int], npt.NDArray[np.int64]]:
    """Count the bins of each megabase, and those that are bound in each of some experiments."""
    places, which = np.unique(
        np.stack([file.codes, file.starts // BLOCK]), axis=1, return_inverse=True
    )
    counts = np.zeros((1 + len(tasks), places.shape[1]), np.int64)
    rows = [1 + tasks.index(name) for name in file.contents.experiments]
    for tiles, (weights, *labels) in file.label_parts():
        firsts = np.cumsum(file.bins[tiles]) - file.bins[tiles]
        columns = [weights, *((label == BOUND) & (weights > 0) for label in labels)]
        for row, column in zip([0, *rows], columns, strict=True):
            np.add.at(counts[row], which[tiles], np.add.reduceat(column, firsts, dtype=np.int64))
    file.release()
    return {
        (file.contigs[code], at): counts[:, number]
        for number, (code, at) in enumerate(places.T.tolist())
    }
