"""Several models as one: an ONNX graph that averages the log-odds of their scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, compose, helper

import tfbind
from tfbind.contract import METADATA_KEY, Contract, Geometry, Input
from tfbind.errors import InputError
from tfbind.nodes import Nodes

Array = npt.NDArray[Any]

CERTAIN = 2.0**-23
"""A score is taken to be no nearer to 0 and to 1: float32 has no room for more next to 1."""

TOLERANCE = 1e-5
OUTPUT = "scores"
BINS = 8
"""Bins that an ensemble is checked by."""


@dataclass(frozen=True)
class Member:
    """One of the models of an ensemble.

    Attributes
    ----------
    path : str
    content : bytes
        An ONNX file that `tfbind export` wrote.
    contract : Contract
    sha256 : str
        Of the file.
    weight : float
        What its log-odds weigh.
    """

    path: str
    content: bytes
    contract: Contract
    sha256: str
    weight: float


def ensemble(members: Sequence[Member]) -> tuple[onnx.ModelProto, float]:
    """Join models into one, each task's score the sigmoid of the weighted mean of log-odds.

    A task that only some models score is the mean of theirs. Models with a narrower window look at
    the middle of the widest one. Calibrations are left out, as they hold for one model's scores.
    Log-odds are made of scores in float32: where a member is nearly certain of a bin that others
    are not, their rounding near 1 grows to a thousandth of the ensemble's score.

    Parameters
    ----------
    members : sequence of Member
        Two or more, of one bin and one stride.

    Returns
    -------
    model : onnx.ModelProto
        With a contract of its own; it scans if all members do.
    difference : float
        The largest between its scores and those made of its members', on random bases.

    Raises
    ------
    InputError
        If the members do not fit together, or the difference is over 1e-5.
    """
    contract = contract_of(members)
    parsed = [onnx.load_model_from_string(one.content) for one in members]
    opsets = _opsets(members, parsed)
    model = helper.make_model(
        _graph(members, parsed, contract),
        opset_imports=[helper.make_opsetid(*one) for one in opsets.items()],
        ir_version=max(one.ir_version for one in parsed),
        producer_name="tfbind",
    )
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model, full_check=True)
    difference = compare(model, members, contract)
    if not difference <= TOLERANCE:
        raise InputError(
            f"the ensemble's scores differ by {difference:.2g} from those made of its members', "
            f"expected at most {TOLERANCE:g}; nothing was written"
        )
    return model, difference


def contract_of(members: Sequence[Member]) -> Contract:
    """Make the contract of an ensemble.

    Raises
    ------
    InputError
        If there are fewer than two members, or their bins or inputs differ.
    """
    if len(members) < 2:
        raise InputError(f"found {len(members)} model, expected two or more")
    contracts = [one.contract for one in members]
    for one in members[1:]:
        if one.contract.stranded != contracts[0].stranded:
            raise InputError(
                f"and {members[0].path} are not of one kind: one reads the strand of its bins, the "
                "other does not",
                path=one.path,
            )
    return Contract(
        geometry=_widest(members),
        inputs=_inputs(members),
        tasks=_union(one.tasks for one in contracts),
        scans=all(one.scans for one in contracts),
        both_strands=all(one.both_strands for one in contracts),
        stranded=contracts[0].stranded,
        architecture="ensemble",
        cells=_union(one.cells for one in contracts),
        trained_on=_trained_on(contracts),
        held_out=_held_out(contracts),
        training={"members": [_told(one) for one in members]},
        versions=_versions(),
        precision=next((c.precision for c in contracts if c.precision != "float32"), "float32"),
    )


def _trained_on(contracts: Sequence[Contract]) -> tuple[str, ...]:
    """Give the regions that any member knows; none, which is asked about, if one does not tell."""
    if not all(one.trained_on for one in contracts):
        return ()
    return _union(one.trained_on for one in contracts)


def _held_out(contracts: Sequence[Contract]) -> tuple[str, ...]:
    """Give the regions that all members were kept from."""
    shared = set.intersection(*(set(one.held_out) for one in contracts))
    return tuple(region for region in contracts[0].held_out if region in shared)


def _versions() -> dict[str, str]:
    return {
        "tfbind": tfbind.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def _told(member: Member) -> dict[str, Any]:
    """Tell what a member is; inputs and tables are in its own file."""
    contract = member.contract
    return {
        "sha256": member.sha256,
        "weight": member.weight,
        "architecture": contract.architecture,
        "tasks": contract.tasks,
        "both_strands": contract.both_strands,
        "parameters": contract.parameters,
        "training": contract.training,
        "cells": contract.cells,
        "trained_on": contract.trained_on,
        "held_out": contract.held_out,
        "versions": contract.versions,
    }


def _union(names: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in names for name in some))


def _widest(members: Sequence[Member]) -> Geometry:
    """Give the geometry with the widest window, of which others see the middle."""
    first = members[0]
    for one in members:
        if one.contract.graph:
            raise InputError("was not exported by tfbind: its inputs are its own", path=one.path)
        geometry = one.contract.geometry
        if (bins := _bins(geometry)) != _bins(first.contract.geometry) or geometry.outputs != 1:
            raise InputError(
                f"scores {bins}, but {first.path} {_bins(first.contract.geometry)}; expected one "
                "bin a window, of one size and stride",
                path=one.path,
            )
    return max((one.contract.geometry for one in members), key=lambda one: one.window)


def _bins(geometry: Geometry) -> str:
    return f"bins of {geometry.size} bp, {geometry.stride} bp apart"


def _inputs(members: Sequence[Member]) -> tuple[Input, ...]:
    """Give the inputs that any member takes: prepared in one way, each is fed to all at once."""
    found: dict[str, tuple[Input, Member]] = {}
    for member in members:
        for spec in member.contract.fed:
            known, other = found.setdefault(spec.name, (spec, member))
            if replace(spec, trained=()) != replace(known, trained=()):
                raise InputError(
                    f"prepares the input {spec.name!r} otherwise than {other.path}; train both "
                    "with the same transform, and on the same tiles if values are standardised",
                    path=member.path,
                )
            both = tuple(dict.fromkeys((*known.trained, *spec.trained)))
            found[spec.name] = (replace(known, trained=both), other)
    return tuple(spec for spec, _ in found.values())


def _opsets(members: Sequence[Member], parsed: Sequence[onnx.ModelProto]) -> dict[str, int]:
    """Give the version of each domain of operators that a member uses."""
    found: dict[str, int] = {}
    for member, model in zip(members, parsed, strict=True):
        used = {node.domain for node in model.graph.node}
        for one in model.opset_import:
            # Converters name domains that no node is of.
            if one.domain in used and found.setdefault(one.domain, one.version) != one.version:
                raise InputError(
                    f"is of opset {one.version} of {one.domain or 'ONNX'}, others of "
                    f"{found[one.domain]}; export all with the same tfbind",
                    path=member.path,
                )
    return found


def _graph(
    members: Sequence[Member], parsed: Sequence[onnx.ModelProto], contract: Contract
) -> onnx.GraphProto:
    """Put the graphs side by side, on the same inputs, and a weighted mean behind them."""
    whole = Nodes()
    parts: list[str] = []
    weighed = shares(members, contract)
    for member, model, weights in zip(members, parsed, weighed, strict=True):
        graph = compose.add_prefix(model, f"member_{len(parts)}_").graph
        cut = (contract.geometry.window - member.contract.geometry.window) // 2
        for end, spec in zip(graph.input, member.contract.fed, strict=True):
            _feed(whole, spec, end.name, cut)
        whole.nodes += graph.node
        whole.constants += graph.initializer
        odds = _log_odds(whole, graph.output[0].name)
        parts.append(whole.node("MatMul", odds, whole.constant(weights)))
    whole.node("Sigmoid", whole.node("Sum", *parts), name=OUTPUT)
    scores = helper.make_tensor_value_info(
        OUTPUT, TensorProto.FLOAT, ["batch", "bins", len(contract.tasks)]
    )
    taken = [_taken(spec, contract) for spec in contract.inputs]
    return helper.make_graph(whole.nodes, "ensemble", taken, [scores], whole.constants)


def _feed(whole: Nodes, spec: Input, to: str, cut: int) -> None:
    """Hand an input on to a member, without `cut` bases at both ends."""
    if cut and spec.along == "bases":
        places = [whole.integers(number) for number in (cut, -cut, 1)]
        whole.node("Slice", spec.name, *places, name=to)
    else:
        whole.node("Identity", spec.name, name=to)


def _log_odds(whole: Nodes, scores: str) -> str:
    clipped = whole.node("Clip", scores, whole.constant(CERTAIN), whole.constant(1 - CERTAIN))
    other = whole.node("Sub", whole.constant(1), clipped)
    return whole.node("Sub", whole.node("Log", clipped), whole.node("Log", other))


def _taken(spec: Input, contract: Contract) -> onnx.ValueInfoProto:
    length: int | str = "bases" if contract.scans else contract.geometry.window
    if spec.along == "cell":
        length = len(spec.features)
    kind = TensorProto.UINT8 if spec.stored == "uint8" else TensorProto.FLOAT
    return helper.make_tensor_value_info(spec.name, kind, ["batch", length])


def shares(members: Sequence[Member], contract: Contract) -> list[npt.NDArray[np.float32]]:
    """Give what each of a member's scores weighs in each of the ensemble's.

    Returns
    -------
    list of ndarray, shape (tasks of the member, tasks), float32
        Over all members the weights of a task add up to 1.
    """
    places = {task: place for place, task in enumerate(contract.tasks)}
    largest = max(member.weight for member in members)  # sums of huge weights stay finite
    totals = np.zeros(len(places))
    for member in members:
        totals[[places[task] for task in member.contract.tasks]] += member.weight / largest
    found = []
    for member in members:
        weights = np.zeros((len(member.contract.tasks), len(places)), np.float32)
        for row, task in enumerate(member.contract.tasks):
            weights[row, places[task]] = member.weight / largest / totals[places[task]]
        found.append(weights)
    return found


def mean_of(scores: Sequence[Array], weights: Sequence[npt.NDArray[np.float32]]) -> Array:
    """Average scores of members as an ensemble does, in float64.

    Parameters
    ----------
    scores : sequence of ndarray, shape (..., tasks of the member)
    weights : sequence of ndarray
        As `shares` gives them.

    Returns
    -------
    ndarray, shape (..., tasks), float64
    """
    parts = []
    for one, weight in zip(scores, weights, strict=True):
        clipped = np.clip(one.astype(np.float64), CERTAIN, 1 - CERTAIN)
        parts.append((np.log(clipped) - np.log1p(-clipped)) @ weight)
    return np.asarray(1 / (1 + np.exp(-np.sum(parts, axis=0))))


def compare(model: onnx.ModelProto, members: Sequence[Member], contract: Contract) -> float:
    """Find the largest difference between an ensemble's scores and those made of its members'."""
    bases = contract.geometry.length(BINS if contract.scans else 1)
    feeds = _random(contract.inputs, bases, batch=1 if contract.scans else BINS)
    found = _run(model.SerializeToString(), feeds)
    scores = []
    for member in members:
        cut = (contract.geometry.window - member.contract.geometry.window) // 2
        given = {
            spec.name: feeds[spec.name][:, cut : bases - cut]
            if spec.along == "bases"
            else feeds[spec.name]
            for spec in member.contract.fed
        }
        scores.append(_run(member.content, given))
    return float(np.abs(found - mean_of(scores, shares(members, contract))).max())


def _random(inputs: Sequence[Input], bases: int, batch: int) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    found: dict[str, Array] = {}
    for spec in inputs:
        shape = (batch, bases if spec.along == "bases" else len(spec.features))
        if spec.stored == "uint8":
            found[spec.name] = rng.integers(0, 4, shape).astype(np.uint8)
        else:
            found[spec.name] = rng.exponential(1, shape).astype(np.float32)
    return found


def _run(content: bytes, feeds: dict[str, Array]) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found: Array = session.run(None, feeds)[0]
    return found
