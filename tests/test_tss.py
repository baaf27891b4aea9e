"""The networks of start sites: what they keep of a window."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

from by_hand import disturb, run
from conftest import Tfbind, Trained, said

from tfbind.contract import Geometry, Input
from tfbind.errors import RequestError
from tfbind.networks import architecture, scans
from tfbind.networks.graphs import write_graph
from tfbind.networks.tss import stretches

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
SITES = Geometry(200, 200, 1)


def test_stretches_count_from_the_centre() -> None:
    assert stretches("-35:-20,-10:+10", 200) == [(65, 81), (90, 111)]
    assert stretches("-100:99", 200) == [(0, 200)]


@pytest.mark.parametrize("text", ["-101:0", "0:100", "10:-10", "10", "1:2;3:4", ""])
def test_what_is_no_stretch_of_the_window_is_told(text: str) -> None:
    with pytest.raises(RequestError, match=re.escape(f"found keep = {text!r}")):
        stretches(text, 200)


@pytest.mark.parametrize("name", ["tss", "tss-lstm"])
def test_what_is_not_kept_changes_nothing(name: str) -> None:
    build = architecture(name).build
    keep = "-35:-20,-10:10"
    model = build([SEQUENCE, DNASE], SITES, 2, filters=6, dense=8, keep=keep)
    disturb(model)
    assert not scans(model)
    rng = np.random.default_rng(1)
    arrays: dict[str, npt.NDArray[Any]] = {
        "sequence": rng.integers(0, 4, (3, 200)).astype(np.uint8),
        "dnase": rng.exponential(1, (3, 200)).astype(np.float32),
    }
    scores = np.asarray(model(arrays))
    assert scores.shape == (3, 1, 3)
    kept = np.zeros(200, np.bool_)
    kept[65:81] = kept[90:111] = True
    elsewhere = {
        "sequence": np.where(kept, arrays["sequence"], 3 - arrays["sequence"]),
        "dnase": np.where(kept, arrays["dnase"], 9).astype(np.float32),
    }
    np.testing.assert_array_equal(np.asarray(model(elsewhere)), scores)
    for first in (65, 80, 90, 110):
        inside = {name: values.copy() for name, values in arrays.items()}
        inside["sequence"][:, first] = 3 - inside["sequence"][:, first]
        inside["dnase"][:, first] = 50
        assert np.abs(np.asarray(model(inside)) - scores).max() > 0
    # As if the rest were unknown and uncovered to a network without stretches.
    plain = build([SEQUENCE, DNASE], SITES, 2, filters=6, dense=8)
    plain.set_weights(model.get_weights())
    blank = {
        "sequence": np.where(kept, arrays["sequence"], 4).astype(np.uint8),
        "dnase": np.where(kept, arrays["dnase"], 0).astype(np.float32),
    }
    np.testing.assert_allclose(np.asarray(plain(blank)), scores, atol=1e-6)
    if name == "tss":
        found = run(write_graph(model, list(arrays), "scores"), arrays)
        np.testing.assert_allclose(found, scores, atol=1e-6)


def test_keep_belongs_to_networks_of_start_sites(tfbind: Tfbind, trained: Trained) -> None:
    message = said(tfbind("train", trained.tiles, "--keep=-35:-20", "-o", "x.keras"), 2)
    assert "--keep is nothing to" in message
