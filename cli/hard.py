"""How `tfbind sample` finds hard negatives: it scores the bins that it reads."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import typer

from .inputs import default_cell, open_sources, signal_files
from .places import Prefix
from .progress import Advance, advancing, say
from .run import Options, Run, doubts, wanted_files, wanted_signals
from .table import for_want_of_signal

if TYPE_CHECKING:
    from tfbind.hardest import Candidates, Hardest
    from tfbind.intervals import IntervalReader, Intervals
    from tfbind.sampling import Sampler

COUNT = 10_000


@dataclass(frozen=True)
class Wanted:
    """What the options say of hard negatives.

    Attributes
    ----------
    model : str
        An .onnx file.
    count : int
    fasta, signals, files, expression, cell, missing, threads
        As `tfbind score` takes them.
    """

    model: str
    count: int
    fasta: str | None
    signals: list[str] | None
    files: list[str] | None
    expression: str | None
    cell: str | None
    missing: Literal["error", "zero"]
    threads: int | None

    def open(
        self,
        reader: "IntervalReader",
        alias: str | None,
        prefix: Prefix,
        seed: int,
        stack: ExitStack,
        *,
        quiet: bool,
    ) -> "Miner":
        """Open the model and what it reads, and match its tasks to the labels.

        The reader has read its first batch, so that the names of the labels are known.
        """
        from tfbind.hardest import Hardest, matched
        from tfbind.labels import column_names
        from tfbind.pipeline import Times
        from tfbind.tiles import BinCheck

        how = Options(None, "auto", False, False, None, self.threads, None)
        model = how.open(self.model)
        contract = model.contract
        path = str(reader.path)
        names = column_names(reader.header, reader.columns)
        found = matched(names, reader.columns - 3, contract.tasks, path, model.path)
        if names and len(found.columns) < len(names):
            others = ", ".join(name for name in names if name not in found.tasks)
            say(f"{model.path} does not score {others}: no hard negatives of it", quiet=quiet)
        given = signal_files(self.signals)
        files = wanted_signals(contract, given, quiet)
        others_ = wanted_files(contract, self.files, self.expression, quiet=quiet)
        cell = self.cell or default_cell(given)
        sources = open_sources(self.fasta, files, alias, prefix, cell, others_)
        check = BinCheck(contract.geometry, sources, path, self.missing)
        stack.enter_context(doubts(contract, sources))
        run = Run(model, sources, check, how, quiet, Times())
        return Miner(run, found.tasks, Hardest(self.count, found.columns, seed), stack)


@dataclass(frozen=True)
class Miner:
    """A model that scores what is sampled."""

    run: Run
    tasks: list[str]
    hardest: "Hardest"
    stack: ExitStack

    def mine(
        self, batches: "Iterable[Intervals]", sampler: "Sampler", path: str, advance: Advance
    ) -> None:
        """Sample batches, and score those bins that may be hard negatives."""
        waiting: deque[Candidates] = deque()

        def candidates() -> "Iterator[Intervals]":
            for batch in advancing(batches, advance):
                found = sampler.add(batch, path)
                if found is not None:
                    waiting.append(found)
                    yield found.bins

        done = 0
        for batch, scores in self.run.scored(
            candidates(), self.tasks, None, lambda amount, note="": None, self.stack
        ):
            # A batch of very many scores comes in parts.
            self.hardest.add(waiting[0], scores, done)
            done += len(batch)
            if done == len(waiting[0].rows):
                waiting.popleft()
                done = 0

    def summary(self, more: int) -> str:
        """Tell how many were found; `more` were not drawn anyway."""
        held = self.hardest.held()
        if held is None:
            return "no hard negatives: there was no unbound bin to choose from"
        drawn = f" ({len(held) - more:,} of them drawn as well)" if more < len(held) else ""
        parts = [
            f"{len(held):,} of {self.hardest.seen:,} unbound bins are hard negatives{drawn}, with "
            f"scores from {held.scores.min():.4g} to {held.scores.max():.4g} by "
            f"{self.run.model.path}",
            *for_want_of_signal(self.run.check),
        ]
        return "; ".join(parts)


def wanted(
    model: str | None,
    count: int | None,
    fasta: str | None,
    signals: list[str] | None,
    files: list[str] | None,
    expression: str | None,
    cell: str | None,
    missing: Literal["error", "zero"],
    threads: int | None,
) -> Wanted | None:
    """Put the options together; without a model the others have nothing to say."""
    if model is not None:
        number = COUNT if count is None else count
        return Wanted(model, number, fasta, signals, files, expression, cell, missing, threads)
    without = {
        "--hard-count": count,
        "--signal": signals,
        "--channel": files,
        "--expression": expression,
        "--cell": cell,
    }
    for option, value in without.items():
        if value:
            raise typer.BadParameter(f"{option} goes with --hard MODEL: give it, or drop {option}")
    return None
