"""Activation maximization: by hand where there is a formula, and on real networks."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")
pytest.importorskip("logomaker", reason="pip install 'tfbind[explain]'")

import keras
from conftest import Tfbind, ok, said
from keras import layers

from tfbind.channels import channel
from tfbind.contract import Contract, Geometry, Input
from tfbind.errors import InputError, RequestError
from tfbind.interpret.held import constants, means
from tfbind.interpret.maximization import Ascent, maximized, starts
from tfbind.interpret.profiles import strongest, thresholded
from tfbind.motifs import read_motifs
from tfbind.networks import ARCHITECTURES
from tfbind.networks.files import Network, save_network
from tfbind.networks.heads import each
from tfbind.networks.layers import OneHot

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
WINDOW = 6
CONTRACT = Contract(Geometry(WINDOW, WINDOW, WINDOW), (SEQUENCE, DNASE), ("CTCF",))
HELD = {"dnase": np.full(WINDOW, 2, np.float32)}


def linear(*, shut: bool = False) -> tuple[keras.Model, npt.NDArray[np.float32]]:
    """Build a network whose output is a sum of weights over bases and signal."""
    codes = keras.Input((WINDOW,), name="sequence", dtype="uint8")
    signal = keras.Input((WINDOW,), name="dnase")
    flat = layers.Reshape((1, -1))(OneHot()(codes))
    if shut:
        # Open only where a number is over 1.
        flat = layers.ReLU()(flat - 1)
    features = layers.Concatenate()([flat, layers.Reshape((1, -1))(signal)])
    model = keras.Model({"sequence": codes, "dnase": signal}, each(features, 1))
    weights = np.random.default_rng(1).normal(size=(5 * WINDOW, 1)).astype(np.float32)
    model.get_layer("logits").set_weights([weights, np.array([0.5])])
    return model, weights[: 4 * WINDOW, 0].reshape(WINDOW, 4)


def test_a_linear_output_has_a_formula() -> None:
    model, weights = linear()
    ascent = Ascent(rate=0.02, penalty=0.3, steps=120, noise=0.1)
    told: list[float] = []
    found = maximized(model, CONTRACT, "CTCF", HELD, 3, ascent, told.append)
    assert sum(told) == 120
    # x becomes (1 - 2 rate penalty) x + rate w in each step.
    kept = (1 - 2 * 0.02 * 0.3) ** 120
    expected = kept * starts(ascent, 3, WINDOW) + (1 - kept) * weights / (2 * 0.3)
    np.testing.assert_allclose(found.rows, expected, atol=1e-4)
    signal = 2 * model.get_layer("logits").get_weights()[0][4 * WINDOW :].sum()
    scores = (found.rows * weights).sum(axis=(1, 2)) + signal + 0.5
    np.testing.assert_allclose(found.behind, scores, atol=1e-4)
    assert found.moved.all()
    assert (found.behind > found.before).all()


def test_starts_that_have_no_gradient_are_told() -> None:
    model, _ = linear(shut=True)
    ascent = Ascent(steps=20, noise=1)
    found = maximized(model, CONTRACT, "CTCF", HELD, 2, ascent, lambda steps: None)
    assert found.moved.tolist() == [False, True]
    assert found.before[0] == found.behind[0]


def test_starts() -> None:
    made = starts(Ascent(noise=0.1), 200, 30)
    assert made.shape == (200, 30, 4)
    assert (made[0] == 0.25).all()
    assert made[1:].mean() == pytest.approx(0.25, abs=0.005)
    assert made[1:].std() == pytest.approx(0.1, abs=0.005)
    np.testing.assert_array_equal(made, starts(Ascent(noise=0.1), 200, 30))
    assert (made[1:] != starts(Ascent(noise=0.1, seed=2), 200, 30)[1:]).any()


def test_too_large_steps_are_refused() -> None:
    model, _ = linear()
    with pytest.raises(InputError, match="smaller --rate"):
        maximized(model, CONTRACT, "CTCF", HELD, 1, Ascent(rate=1e4), lambda steps: None)


@pytest.mark.parametrize("name", ["tss", "deepbind", "danq", "best"])
def test_networks_climb(name: str) -> None:
    kind = ARCHITECTURES[name]
    motif = channel(
        Input(
            "motif",
            "motif",
            "float32",
            along="sequence",
            of="sequence",
            features=("M",),
            table={"M": [[1.0, -1.0, -1.0, -1.0]] * 4},
        )
    ).spec
    inputs = (SEQUENCE, DNASE, motif) if name == "best" else (SEQUENCE,)
    sizes = {"units": 4, "dense": 4, "ensemble": 2} if name == "best" else {}
    keras.utils.set_random_seed(1)
    model = kind.build(inputs, kind.geometry, 2, **sizes)
    tasks = ("background", "sharp", "broad") if name == "tss" else ("one", "two")
    contract = Contract(kind.geometry, inputs, tasks)
    held = constants(contract, {}, "")
    found = maximized(
        model, contract, tasks[1], held, 2, Ascent(steps=10, penalty=0), lambda steps: None
    )
    assert found.moved[1]
    assert found.behind[1] > found.before[1]


def test_trees_have_no_gradient() -> None:
    with pytest.raises(InputError, match="trees, which have no gradient"):
        maximized(_of_trees(), CONTRACT, "CTCF", HELD, 1, Ascent(), lambda steps: None)


def _of_trees() -> keras.Model:
    from tfbind.networks.boosted import boosted

    return boosted([SEQUENCE, DNASE], Geometry())


def test_what_is_below_a_percentile_is_0() -> None:
    rows = np.arange(8.0).reshape(2, 4) - 4
    assert thresholded(rows, 75).tolist() == [[0, 0, 0, 0], [0, 0, 2, 3]]
    assert (thresholded(rows, 0) == rows).all()


def test_the_strongest_stretch_has_the_largest_sum() -> None:
    rows = np.zeros((9, 4))
    rows[2, 1], rows[6, 0], rows[7, 3], rows[0, 2] = 1.5, 1, 1, -9
    assert strongest(rows, 2) == 6
    assert strongest(rows, 1) == 2


def test_inputs_are_held() -> None:
    features = ("one", "two")
    held = constants(CONTRACT, {"dnase": 3.0}, "")
    np.testing.assert_allclose(held["dnase"], np.full(WINDOW, np.log(4), np.float32))
    assert list(held) == ["dnase"]
    assert (constants(CONTRACT, {}, "")["dnase"] == 0).all()
    with pytest.raises(RequestError, match=r"found --hold atac, expected a signal .* dnase"):
        constants(CONTRACT, {"atac": 1.0}, "")
    vector = Input(
        "expression",
        "expression",
        "float32",
        mean=(1.0, 1.0),
        deviation=(2.0, 4.0),
        along="cell",
        features=features,
        table={"K562": (3.0, 5.0)},
    )
    contract = Contract(CONTRACT.geometry, (SEQUENCE, vector), ("CTCF",))
    assert constants(contract, {}, "")["expression"].tolist() == [0, 0]
    assert constants(contract, {}, "K562")["expression"].tolist() == [1, 1]


def test_means_are_over_windows() -> None:
    parts = [np.array([[1, 2], [3, 4]], np.float32), np.array([[8, 0]], np.float32)]
    assert means({"dnase": one} for one in parts)["dnase"].tolist() == [4, 2]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a small network that was not trained."""
    keras.utils.set_random_seed(1)
    contract = Contract(Geometry(), (SEQUENCE, DNASE), ("CTCF",))
    sizes = {"filters": 4, "width": 15, "dense": 4, "joint": 8}
    model = ARCHITECTURES["shallow"].build(contract.inputs, contract.geometry, 1, **sizes)
    path = tmp_path_factory.mktemp("maximize") / "small.keras"
    save_network(Network(model, contract, b""), path)
    return path


def test_command(tfbind: Tfbind, small: Path, tmp_path: Path) -> None:
    png, meme = tmp_path / "m.png", tmp_path / "m.meme"
    command: list[str | Path] = [
        "explain",
        "maximize",
        small,
        "--steps",
        "30",
        "--starts",
        "3",
    ]
    command += ["--plot", png, "--meme", meme, "--hold", "dnase=20", "--mark", "-35:-20"]
    command += ["--also", small]
    done = tfbind(*command)
    rows = list(csv.DictReader(ok(done).decode().splitlines(), delimiter="\t"))
    assert [int(row["position"]) for row in rows] == list(range(-500, 500))
    (told,) = done.stderr.decode().splitlines()
    assert "the output before its activation rose from" in told
    values = np.array([[float(row[f"sd_{base}"]) for base in "ACGT"] for row in rows])
    assert (values >= 0).all()
    assert values.max() > 0
    assert png.read_bytes().startswith(b"\x89PNG")
    (motif,) = read_motifs(meme)
    assert len(motif) == 60


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--hold", "dnase=2", "--hold", "dnase=3"), "but dnase is held already: give one"),
        (("--show", "-20:20"), "--show is of the picture and the motif: give --plot or --meme"),
        (("--percentile", "50"), "--percentile is of the picture and the motif"),
        (("--mark", "-20:20", "--meme", "x.meme"), "--mark is of the picture: give --plot"),
    ],
)
def test_options_that_nothing_reads_are_refused(
    tfbind: Tfbind, small: Path, options: tuple[str, ...], words: str
) -> None:
    assert words in said(tfbind("explain", "maximize", small, *options), 2)


def test_a_cell_type_that_the_network_does_not_know_of_is_told(tfbind: Tfbind, small: Path) -> None:
    done = tfbind("explain", "maximize", small, "--steps", "2", "--cell", "K562")
    assert "the model does not use the cell type" in done.stderr.decode()
    ok(done)


def test_bins_say_what_is_held(tfbind: Tfbind, sources_env: dict[str, str], small: Path) -> None:
    bins = "chrX\t48500000\t48500200\n"
    command: list[str | Path] = [
        "explain",
        "maximize",
        small,
        "--steps",
        "2",
    ]
    done = tfbind(*command, "--bins", "-", stdin=bins, env=sources_env)
    assert len(ok(done).splitlines()) == 1001
    done = tfbind(*command, "--bins", "-", "--hold", "dnase=1", stdin=bins, env=sources_env)
    assert "give one" in said(done, 2)
    assert "expected FROM:TO" in said(tfbind(*command, "--mark", "5:1"), 2)
    assert "outside of the window" in said(
        tfbind(*command, "--plot", "x.png", "--show", "600:700"), 2
    )
    assert "expected NAME=VALUE" in said(tfbind(*command, "--hold", "dnase"), 2)


def test_a_network_that_is_shut_is_told(tfbind: Tfbind, tmp_path: Path) -> None:
    path = tmp_path / "shut.keras"
    save_network(Network(linear(shut=True)[0], CONTRACT, b""), path)
    done = tfbind("explain", "maximize", path, "--noise", "0")
    assert "none of 16 start(s) has a gradient: the network is shut" in said(done)
    output = tmp_path / "x.tsv"
    done = tfbind("explain", "maximize", path, "--noise", "1", "--starts", "3", "-o", output)
    assert ok(done) == b""
    assert "over 2 starts" in done.stderr.decode()
    assert "without a gradient, and left out: start(s) 1\n" in done.stderr.decode()
    assert output.read_text().count("\n") == 1 + WINDOW
