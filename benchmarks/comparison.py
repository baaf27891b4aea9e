"""Results of several ways to do several tasks, as a table: which way is ahead, and by how much."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cross_cell import spread


class Result(NamedTuple):
    """One factor, learnt in a cell and measured in one."""

    row: str
    cell: str
    target: str
    factor: str
    seed: int
    bound: int
    auroc: float
    auprc: float
    recall_at_10_fdr: float
    recall_at_50_fdr: float


def table(results: Sequence[Result], rows: Sequence[str], ours: Sequence[str]) -> str:
    """Lay out AUPRC, a line a task, and how each row of ours compares with the others."""
    by: dict[tuple[str, str, str, str], list[Result]] = {}
    for one in results:
        by.setdefault((one.cell, one.target, one.factor, one.row), []).append(one)
    tasks = sorted(
        dict.fromkeys(key[:3] for key in by), key=lambda task: (task[0] != task[1], task)
    )
    lines = [f"| task | bound | {' | '.join(rows)} |", "|---|---:|" + "---:|" * len(rows)]
    means: dict[str, list[float]] = {row: [] for row in rows}
    for cell, target, factor in tasks:
        shown = []
        for row in rows:
            values = [one.auprc for one in by[cell, target, factor, row]]
            means[row].append(statistics.mean(values))
            shown.append(spread(values))
        where = cell if cell == target else f"{cell} to {target}"
        bound = by[cell, target, factor, rows[0]][0].bound
        lines.append(f"| {factor}, {where} | {bound:,} | {' | '.join(shown)} |")
    average = " | ".join(f"{statistics.mean(means[row]):.3f}" for row in rows)
    lines.append(f"| mean of {len(tasks)} | | {average} |")
    others = [row for row in rows if row not in ours]
    for row in ours:
        if row in means and others:
            lines += ["", *verdict(means, row, others)]
    return "\n".join(lines)


def verdict(means: Mapping[str, Sequence[float]], row: str, others: Sequence[str]) -> Iterator[str]:
    """Say on how many tasks a row beats others, and by how much in the mean."""
    count = len(means[row])
    for other in others:
        wins = sum(a > b for a, b in zip(means[row], means[other], strict=True))
        more = statistics.mean(means[row]) / statistics.mean(means[other]) - 1
        yield f"- {row} beats {other} on {wins} of {count} tasks, by {more:+.1%} in the mean"
    ahead = sum(all(means[row][i] > means[one][i] for one in others) for i in range(count))
    yield f"- {row} beats all of them on {ahead} of {count} tasks"
