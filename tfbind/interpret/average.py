"""Contributions averaged over many sites that are aligned at the centre of their windows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """Contributions at each place of a window.

    Attributes
    ----------
    mean, error : ndarray, shape (window,) or (values,), float64
        Over sites; the standard error of the mean, NaN where there is one site only.
    sites : int
    """

    mean: Floats
    error: Floats
    sites: int


@dataclass
class Moments:
    """Count sites and their contributions, by input, as they come.

    Attributes
    ----------
    sites : int
    mean : dict of str to ndarray, shape (window,) or (values,), float64
    """

    sites: int = 0
    mean: dict[str, Floats] = field(default_factory=dict)
    _squares: dict[str, Floats] = field(default_factory=dict)

    def add(self, contributions: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Add sites, by the update of Chan et al. (1979).

        Parameters
        ----------
        contributions : mapping of str to ndarray, shape (n, window) or (n, values), float32
            By input; the same inputs each time.
        """
        more = len(next(iter(contributions.values())))
        if not more:
            return
        total = self.sites + more
        for name, values in contributions.items():
            rows = values.astype(np.float64)
            middle = rows.mean(axis=0)
            apart = middle - self.mean.get(name, 0.0)
            squares = self._squares.get(name, 0.0) + np.square(rows - middle).sum(axis=0)
            self._squares[name] = squares + np.square(apart) * self.sites * more / total
            self.mean[name] = self.mean.get(name, 0.0) + apart * more / total
        self.sites = total

    def profile(self, name: str) -> Profile:
        """Give mean and standard error of one input's contributions.

        Raises
        ------
        KeyError
            If no site with that input was added.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = self._squares[name] / np.float64(self.sites - 1)
        return Profile(self.mean[name], np.sqrt(variance / self.sites), self.sites)


def positions(window: int) -> npt.NDArray[np.int64]:
    """Give the places of a window, base pairs from its centre: the base there, or behind it, is 0.

    Parameters
    ----------
    window : int
        Base pairs.

    Returns
    -------
    ndarray, shape (window,), int64
    """
    return np.arange(window) - window // 2


def inside(window: int, region: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Tell which places of a window lie in a region.

    Parameters
    ----------
    window : int
        Base pairs.
    region : (int, int)
        Half-open, in the numbers of `positions`; it may reach beyond the window.

    Returns
    -------
    ndarray, shape (window,), bool
    """
    places = positions(window)
    return (places >= region[0]) & (places < region[1])
