"""What `tfbind score` runs: a model over a stream of bins, here or on a cluster."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tfbind.errors import InputError, three

from .cluster import cluster_workers
from .machine import held_memory, memory, processors
from .outputs import Scored
from .progress import Advance, advancing, say

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.contract import Contract
    from tfbind.foreign import Foreign
    from tfbind.intervals import Intervals
    from tfbind.journal import Checked, Journal
    from tfbind.model import Model
    from tfbind.pipeline import Times
    from tfbind.tiles import BinCheck


READERS_A_DEVICE = 4
"""Threads that keep a GPU supplied, whose calls are in its own memory."""


@dataclass(frozen=True)
class Options:
    """How a model computes.

    Attributes
    ----------
    chunk, device, windows, tf32, raw
        As `model.Model` takes them.
    foreign : Foreign or None
        What was said of a model without a contract.
    threads : int or None
    cluster : str or None
        Where the workers are that compute, if it is not done here.
    """

    chunk: int | None
    device: str
    windows: bool
    tf32: bool
    foreign: "Foreign | None"
    threads: int | None
    cluster: str | None
    raw: bool = False

    def open(self, path: str) -> "Model":
        """Open the model."""
        from tfbind.model import Model
        from tfbind.runtime import device_names

        try:
            device_names(self.device)
        except InputError as error:
            raise typer.BadParameter(error.message) from error
        return Model(
            path,
            chunk=self.chunk,
            device=self.device,
            windows=self.windows,
            tf32=self.tf32,
            contract=self.foreign,
            elsewhere=self.cluster is not None,
            raw=self.raw,
        )


@dataclass(frozen=True)
class Run:
    """A model, what its inputs are made from, and how it computes."""

    model: "Model"
    sources: "Sources"
    check: "BinCheck"
    options: Options
    quiet: bool
    times: "Times"
    began: float = field(default_factory=time.monotonic)

    def scored(
        self,
        bins: "Iterable[Intervals]",
        tasks: list[str],
        journal: "Journal | None",
        advance: Advance,
        stack: ExitStack,
    ) -> Scored:
        """Give batches and the scores of tasks; the stages before and behind go on at once."""
        from tfbind.pipeline import ahead

        columns = [self.model.contract.tasks.index(name) for name in tasks]
        # What ends first is entered last: stages close before what they draw from does.
        parsed = self.times.drawing("parse", map(self.check, bins))
        checked = stack.enter_context(ahead(parsed))
        compute = (self._here if self.options.cluster is None else self._on_cluster)(columns, stack)
        scored = compute(checked) if journal is None else journal.resume(checked, compute)
        return stack.enter_context(
            ahead(self.times.drawing("plan", advancing(scored, advance, lambda one: len(one[0]))))
        )

    def _here(
        self, columns: list[int], stack: ExitStack
    ) -> "Callable[[Iterable[Checked]], Scored]":
        from tfbind.scoring import score
        from tfbind.tiles import Stretches

        contract = self.model.contract
        stretches = Stretches(contract.geometry, contract.inputs, self.sources)
        threads = self.options.threads or _affordable(self.model)
        stop = threading.Event()
        stack.callback(stop.set)

        def compute(batches: "Iterable[Checked]") -> Scored:
            return score(
                batches,
                self.model,
                stretches,
                threads,
                times=self.times,
                columns=columns,
                stop=stop,
            )

        return compute

    def _on_cluster(
        self, columns: list[int], stack: ExitStack
    ) -> "Callable[[Iterable[Checked]], Scored]":
        from tfbind.recipe import Recipe

        options = self.options
        recipe = Recipe.of(
            self.model,
            self.sources,
            device=options.device,
            windows=options.windows,
            tf32=options.tf32,
            contract=self.model.contract if options.foreign else None,
            columns=columns,
        )
        workers = stack.enter_context(cluster_workers(str(options.cluster), quiet=self.quiet))
        from tfbind.cluster import score_on_cluster  # what it imports may not be installed

        return lambda batches: score_on_cluster(batches, workers, recipe)


def _affordable(model: "Model") -> int:
    """Count the threads that processors and memory allow; scores do not depend on it."""
    before = held_memory()
    model.warm_up()
    if model.provider != "CPU":
        return max(processors(), READERS_A_DEVICE * model.devices)
    a_call = max(held_memory() - before, 1)
    return max(min(processors(), memory() // (2 * a_call)), 1)


def wanted_signals(contract: "Contract", files: dict[str, str], quiet: bool) -> dict[str, str]:
    """Match files to the signals that the model wants; an unnamed file is its only signal."""
    wanted = [spec.name for spec in contract.signals]
    if len(wanted) == 1 and list(files) == ["signal"]:
        return {wanted[0]: files["signal"]}
    found = {name: files[name] for name in wanted if name in files}
    if len(found) < len(wanted):
        lacking = next(name for name in wanted if name not in found)
        raise InputError(
            f"the model wants the signal {lacking!r}, but found {three(files)}; "
            f"give --signal {lacking}=FILE or set TFBIND_SIGNAL"
        )
    for name in files:
        if name not in wanted:
            say(f"the model does not use the signal {name!r}", quiet=quiet)
    return found


def wanted_files(
    contract: "Contract", given: list[str] | None, expression: str | None, *, quiet: bool
) -> dict[str, str]:
    """Match files to the model's inputs that are neither sequence nor signal."""
    wanted = [spec.name for spec in contract.fed if spec.source not in ("sequence", "signal")]
    files: dict[str, str] = {}
    for text in [*(given or []), *([f"expression={expression}"] if expression else [])]:
        name, _, path = text.partition("=")
        if not name or not path:
            raise typer.BadParameter(f"found --channel {text!r}, expected NAME=FILE")
        if name in files:
            raise typer.BadParameter(f"the file of the input {name!r} is given twice")
        if name not in wanted:
            say(f"the model does not use a file of {name!r}", quiet=quiet)
        files[name] = path
    return {name: path for name, path in files.items() if name in wanted}


@contextmanager
def doubts(contract: "Contract", sources: "Sources") -> Iterator[None]:
    """Meanwhile compare each signal with those that the model was trained on; tell what differs."""
    stop = threading.Event()
    thread = threading.Thread(target=_compare, args=(contract, sources, stop), daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        stop.set()
        raise
    finally:
        thread.join()


def _compare(contract: "Contract", sources: "Sources", stop: threading.Event) -> None:
    from tfbind.distribution import difference, sampled

    for spec in contract.signals:
        if not spec.trained or spec.ranks:
            continue
        signal = sources.signals[spec.name]
        try:
            found = sampled(signal, *sources.where(signal), stop=stop)
        except InputError:
            continue  # scoring tells it, if it comes there
        except CancelledError:
            return
        if text := difference(found, spec.trained):
            say(
                f"the signal {spec.name!r} of {signal.path} is unlike the training's: {text}; "
                "scores may be off: is it of the same assay, on the same scale?",
                quiet=False,
            )


def calibrations(contract: "Contract") -> str:
    """Name the methods of a model's calibrations, with their tasks where there are several."""
    methods = {task: one.method for task, one in contract.calibration.items()}
    if len(contract.tasks) == 1:
        return "".join(methods.values())
    return ",".join(f"{task}:{method}" for task, method in methods.items())


def provenance(model: "Model", sources: "Sources", described: list[str]) -> bytes:
    """Say what the scores are of; nothing here differs between two runs of the same."""
    import tfbind

    signals = [f"signal:{name}={Path(one.path).name}" for name, one in sources.signals.items()]
    parts = [
        "#tfbind",
        f"version={tfbind.__version__}",
        f"model={Path(model.path).name}",
        f"sha256={model.sha256}",
        f"chunk={model.chunk}",
        *([] if model.scans else ["windows"]),
        *([f"calibrated={calibrations(model.contract)}"] if model.contract.calibration else []),
        *described,
        f"genome={Path(sources.genome.path).name}",
        *signals,
        *([f"cell={sources.cell}"] if model.contract.wants_cell else []),
        *(f"file:{name}={Path(path).name}" for name, path in sources.files.items()),
    ]
    return "\t".join(parts).encode()


def tell(run: Run, done: int) -> None:
    """Say how the bins were scored, and where the time went."""
    model, check, quiet = run.model, run.check, run.quiet
    way = "by scanning" if model.scans else "in windows"
    why = "" if model.scans or run.options.windows else ", as this network cannot scan"
    several = f" on {model.devices} devices" if model.devices > 1 else ""
    where = "" if run.options.cluster is None else f", by the workers of {run.options.cluster}"
    precision = model.contract.precision
    rounded = "" if precision == "float32" else f", in {precision}"
    took = time.monotonic() - run.began
    say(f"{done:,} bins in {took:,.1f} s, {done / took:,.0f} bins/s", quiet=quiet)
    say(
        f"scored {way}{why}, by ONNX Runtime on {model.provider}{several}{rounded}{where}",
        quiet=quiet,
    )
    if model.contract.calibration:
        say(f"calibrated: {calibrations(model.contract)}; --raw leaves it out", quiet=quiet)
    shares = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in run.times.seconds.items())
    say(f"processor time: {shares}", quiet=quiet)
    if model.calls > 1:
        say(
            f"the GPU's memory did not hold {model.chunk} bins: computed in {model.calls} calls a "
            f"chunk; --chunk {model.chunk // model.calls} tries no larger ones",
            quiet=quiet,
        )
    if check.skipped:
        say(f"{check.skipped} bins skipped on contigs without signal", quiet=quiet)
    if check.zeroed:
        say(f"{check.zeroed} bins scored with a signal of 0 for want of a contig", quiet=quiet)
