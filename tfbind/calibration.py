"""Scores to probabilities: a rising line fitted to the labels of held-out bins."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfbind.contract import METADATA_KEY, Calibration, Contract, Method
from tfbind.errors import InputError

MOST = 256
"""Steps that are kept; a step is one knot, or two where it has a heavy score."""

TIED, FEW = 0.25, 10
"""A score is heavy in a step that it has more than this part of, if these are so many bins."""

TILT = 1 / 8
"""The part of its probability that a step with a heavy score may fall and rise by, at most."""

LEAST, CLOSEST = 1e-12, 2.0**-25
"""How near to 0 and to 1 a score is looked at: float32 has no number nearer to 1."""

CHUNK = 1 << 20
"""Scores that are looked at at once."""

STEPS = 100
STILL = 1e-10
"""Newton's steps, and what part of the gradient at the start ends them."""

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.floating]


def calibrated(scores: npt.NDArray[np.float32], how: Calibration) -> npt.NDArray[np.float32]:
    """Turn scores of a task into probabilities.

    Parameters
    ----------
    scores : ndarray, shape (n,), float32
    how : Calibration

    Returns
    -------
    ndarray, shape (n,), float32
        In the order of the scores; below the first knot and above the last the same everywhere.
    """
    found = np.empty_like(scores)
    for first in range(0, len(scores), CHUNK):
        some = slice(first, first + CHUNK)
        found[some] = np.interp(scores[some], how.scores, how.probabilities)
    return found


def fit(bound: Scores, unbound: Scores, method: Method, sha256: str) -> Calibration:
    """Fit what turns scores into probabilities that hold for these bins.

    `isotonic`: the rising steps that are nearest to the labels, found by pooling adjacent violators
    (Ayer et al. 1955; Zadrozny and Elkan 2002), joined by straight lines from the mean score of a
    step to that of the next (Oron and Flournoy 2017), which keep what order the scores have within
    a step. Where many bins of a step share a score it would be moved off the step: there the step
    stays, from its first score to its last, tilted a little about its mean. `platt`: a sigmoid of
    the score, or of the log-odds of scores from 0 to 1 (Platt 1999). Both learn Platt's labels,
    (bound + 1) / (bound + 2) for bound and 1 / (unbound + 2) for unbound bins, instead of 1 and 0:
    none is certain.

    Parameters
    ----------
    bound, unbound : ndarray, shape (p,) and (n,), float
        Scores of the bins of each class, ascending, as `evaluation.ordered` gives them.
    method : 'isotonic' or 'platt'
    sha256 : str
        Of the model file that gave the scores.

    Returns
    -------
    Calibration
        Of at most 2 * `MOST` + 2 knots. Where all scores lie from 0 to 1 so do the knots, and
        scores of other bins keep their order as well; else those beyond what was seen become one.

    Raises
    ------
    InputError
        If a score is infinite, or scores do not rise with binding.

    References
    ----------
    Platt (1999), Advances in Large Margin Classifiers, 61. Lin, Lin and Weng (2007), Machine
    Learning 68:267. Oron and Flournoy (2017), Statistics in Biopharmaceutical Research 9:258.
    """
    low, high = float(min(bound[0], unbound[0])), float(max(bound[-1], unbound[-1]))
    if not np.isfinite([low, high]).all():
        raise InputError("found an infinite score, expected a number for each bin")
    between = low >= 0 and high <= 1
    targets = (1 / (len(unbound) + 2), (len(bound) + 1) / (len(bound) + 2))
    if method == "isotonic":
        scores, probabilities = _isotonic(bound, unbound, targets)
    else:
        scores, probabilities = _platt(bound, unbound, targets, low, high, between)
    # Through the origin: what is near 0 keeps its order in float32, which has room there.
    origin = between and low > 0
    if between:
        low, high = 0.0, 1.0
    scores, probabilities = _with_ends(scores, probabilities, low, high, origin)
    rising = np.concatenate([[True], (np.diff(scores) > 0) & (np.diff(probabilities) > 0)])
    return Calibration(
        method,
        tuple(scores[rising].tolist()),
        tuple(probabilities[rising].tolist()),
        len(bound),
        len(unbound),
        sha256,
    )


def _do_not_rise() -> InputError:
    return InputError(
        "the scores are no higher where bins are bound, so that nothing makes probabilities of "
        "them; are these the labels of the task that was scored?"
    )


def _with_ends(
    scores: Floats, probabilities: Floats, low: float, high: float, origin: bool
) -> tuple[Floats, Floats]:
    """Go on from the outer knots to the ends of the range of scores."""
    first, last = np.diff(probabilities)[[0, -1]] / np.diff(scores)[[0, -1]]
    if low < scores[0]:
        fall = max(probabilities[0] - first * (scores[0] - low), probabilities[0] / 2)
        scores = np.concatenate([[low], scores])
        probabilities = np.concatenate([[0 if origin else fall], probabilities])
    if high > scores[-1]:
        rise = probabilities[-1] + last * (high - scores[-1])
        scores = np.append(scores, high)
        probabilities = np.append(probabilities, min(rise, (1 + probabilities[-1]) / 2))
    return scores, probabilities


@dataclass(frozen=True)
class _Blocks:
    """Neighbouring scores, pooled: the ends, the sum, how many, and how many of bound bins."""

    firsts: Floats
    lasts: Floats
    sums: Floats
    counts: npt.NDArray[np.int64]
    bound: npt.NDArray[np.int64]

    @property
    def shares(self) -> Floats:
        return np.asarray(self.bound / self.counts)

    def pooled(self, first: npt.NDArray[np.bool_]) -> "_Blocks":
        """Pool each block that is not a first one with those before it."""
        places = np.flatnonzero(first)
        return _Blocks(
            self.firsts[places],
            self.lasts[np.append(places[1:], len(first)) - 1],
            *(np.add.reduceat(one, places) for one in (self.sums, self.counts, self.bound)),
        )

    def without_first(self) -> "_Blocks":
        return _Blocks(*(one[1:] for one in vars(self).values()))


def _isotonic(
    bound: Scores, unbound: Scores, targets: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Pool adjacent violators; give the ends of each block and their probabilities."""
    blocks = _blocks(bound, unbound)
    while True:
        # Neighbours that fall are of one block in the end, so whole runs are pooled at once.
        rises = np.concatenate([[True], np.diff(blocks.shares) > 0])
        if rises.all():
            break
        blocks = blocks.pooled(rises)
    if len(blocks.counts) < 2:
        raise _do_not_rise()
    low, high = targets
    if len(blocks.counts) > MOST:
        # Steps of log-odds that are nearly one become one.
        share = low + (high - low) * blocks.shares
        odds = np.log(share / (1 - share))
        cells = ((odds - odds[0]) / (odds[-1] - odds[0]) * (MOST - 1)).astype(np.int64)
        blocks = blocks.pooled(np.concatenate([[True], np.diff(cells) > 0]))
    heavy = np.array(
        [
            _most_alike(first, last, (bound, unbound)) > max(FEW - 1, TIED * count)
            for first, last, count in zip(blocks.firsts, blocks.lasts, blocks.counts, strict=True)
        ]
    )
    return _knots(blocks, low + (high - low) * blocks.shares, heavy)


def _most_alike(first: float, last: float, both: tuple[Scores, Scores]) -> int:
    """Count the bins of the commonest score between two, if it has more than `TIED` of them."""
    parts = []
    for scores in both:
        low, high = np.array([first, last], scores.dtype)  # a search casts the longer array else
        start, end = np.searchsorted(scores, low, "left"), np.searchsorted(scores, high, "right")
        parts.append(scores[start:end])
    # What has so large a part of the bins has it of one class at least, and is met in such steps.
    met = [part[:: max(int(len(part) * TIED / 2), 1)] for part in parts]
    candidates = np.unique(np.concatenate(met))
    counts = [
        np.searchsorted(part, candidates.astype(part.dtype), "right")
        - np.searchsorted(part, candidates.astype(part.dtype), "left")
        for part in parts
    ]
    return int(np.sum(counts, axis=0).max())


def _knots(
    blocks: _Blocks, probabilities: Floats, heavy: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Give the mean of each block, or both ends of a heavy one, on a line through its mean."""
    halves = np.diff(probabilities) / 2
    room = TILT * np.minimum(probabilities, 1 - probabilities)
    below = np.minimum(room, np.concatenate([[np.inf], halves]))
    above = np.minimum(room, np.concatenate([halves, [np.inf]]))
    means = np.clip(blocks.sums / blocks.counts, blocks.firsts, blocks.lasts)
    firsts, lasts = (np.where(heavy, ends, means) for ends in (blocks.firsts, blocks.lasts))
    before, behind = means - firsts, lasts - means
    slopes = np.zeros(len(means))
    wide = firsts < lasts
    with np.errstate(divide="ignore"):  # a mean may be rounded to an end
        slopes[wide] = np.minimum(below[wide] / before[wide], above[wide] / behind[wide])
    scores = np.stack([firsts, lasts], axis=1).ravel()
    ends = [probabilities - slopes * before, probabilities + slopes * behind]
    kept = np.concatenate([[True], np.diff(scores) > 0])
    return scores[kept], np.stack(ends, axis=1).ravel()[kept]


def _blocks(bound: Scores, unbound: Scores) -> _Blocks:
    """Begin with a block for each distinct score of a bound bin and all bins up to the next.

    Those are unbound, a share of 0 behind a higher one, so that they are of one block in the end.
    """
    distinct, tied = np.unique(bound, return_counts=True)
    cuts = np.concatenate([[0], np.searchsorted(unbound, distinct, "left"), [len(unbound)]])
    counts = np.diff(cuts)
    held = counts > 0
    sums, firsts, lasts = np.zeros((3, len(counts)))
    sums[held] = np.add.reduceat(unbound, cuts[:-1][held], dtype=np.float64)
    firsts[0] = unbound[0]
    firsts[1:] = lasts[1:] = distinct
    lasts[held] = unbound[cuts[1:][held] - 1]
    sums[1:] += distinct.astype(np.float64) * tied
    counts[1:] += tied
    blocks = _Blocks(firsts, lasts, sums, counts, np.concatenate([[0], tied]))
    # Where no unbound bin scores below all bound ones the first block is empty.
    return blocks if held[0] else blocks.without_first()


def _platt(
    bound: Scores,
    unbound: Scores,
    targets: tuple[float, float],
    low: float,
    high: float,
    between: bool,
) -> tuple[Floats, Floats]:
    """Fit a sigmoid; give points of it, evenly over the scores or their log-odds."""
    if low == high:
        raise _do_not_rise()
    ends = _features(np.array([low, high]), between)
    if ends[0] == ends[1]:
        raise InputError(
            f"all scores lie from {low:g} to {high:g}, too near to one end of 0 to 1 for a sigmoid "
            "of their log-odds; give --method isotonic"
        )
    slope, intercept = _logistic(bound, unbound, targets, between)
    if slope <= 0:
        raise _do_not_rise()
    points = np.linspace(ends[0], ends[1], MOST)
    return _sigmoid(points) if between else points, _sigmoid(slope * points + intercept)


def _sigmoid(values: Floats) -> Floats:
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values < 0, small, 1) / (1 + small))


def _features(scores: Scores, between: bool) -> Floats:
    wide = scores.astype(np.float64)
    if not between:
        return wide
    wide = np.clip(wide, LEAST, 1 - CLOSEST)
    return np.asarray(np.log(wide) - np.log1p(-wide))


def _logistic(
    bound: Scores, unbound: Scores, targets: tuple[float, float], between: bool
) -> tuple[float, float]:
    """Fit slope and intercept by Newton's method, each step halved until it gains (Lin et al.)."""

    def parts() -> Iterator[tuple[Floats, float]]:
        for scores, target in ((unbound, targets[0]), (bound, targets[1])):
            for first in range(0, len(scores), CHUNK):
                yield _features(scores[first : first + CHUNK], between), target

    def loss(at: Floats) -> float:
        total = 0.0
        for values, target in parts():
            margins = at[0] * values + at[1]
            total += float((np.logaddexp(0, margins) - target * margins).sum())
        return total

    at = np.array([0.0, np.log((len(bound) + 1) / (len(unbound) + 1))])
    now, still = loss(at), 0.0
    for _ in range(STEPS):
        gradient, curvature = _derivatives(at, parts())
        still = still or STILL * float(np.abs(gradient).max())
        if np.abs(gradient).max() <= still:
            break
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        part = 1.0
        while (then := loss(at - part * step)) > now and part > STILL:
            part /= 2
        if then >= now:
            break
        at, now = at - part * step, then
    return float(at[0]), float(at[1])


def _derivatives(at: Floats, parts: Iterator[tuple[Floats, float]]) -> tuple[Floats, Floats]:
    """Give gradient and curvature of the cross-entropy in slope and intercept."""
    gradient, curvature = np.zeros(2), np.zeros((2, 2))
    for values, target in parts:
        found = _sigmoid(at[0] * values + at[1])
        off, spread = found - target, found * (1 - found)
        gradient += [off @ values, off.sum()]
        across = spread @ values
        curvature += [[(spread * values) @ values, across], [across, spread.sum()]]
    return gradient, curvature


def with_contract(content: bytes, contract: Contract) -> bytes:
    """Write an ONNX file with another contract.

    Parameters
    ----------
    content : bytes
        Of a file that `runtime.Runtime` opens.
    contract : Contract
    """
    import onnx

    model = onnx.load_model_from_string(content)
    texts = {one.key: one.value for one in model.metadata_props}
    onnx.helper.set_model_props(model, texts | {METADATA_KEY: contract.to_json()})
    changed: bytes = model.SerializeToString()
    return changed
