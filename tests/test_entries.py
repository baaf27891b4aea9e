"""Inputs of every kind in a network: what its graph makes of the bases, and scans and windows."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
import onnxruntime
from by_hand import disturb
from keras import layers

from tfbind.channels import channel, described
from tfbind.channels.base import Lookup, Matrices
from tfbind.contract import Contract, Geometry, Input
from tfbind.errors import InputError
from tfbind.export import converted, strands
from tfbind.genome import Genome
from tfbind.motifs import read_motifs
from tfbind.networks import shallow
from tfbind.networks.entries import entries
from tfbind.networks.graphs import write_graph
from tfbind.networks.layers import BothStrands, KmerRows, OneHot
from tfbind.scanning import Scanner
from tfbind.shape import hexamer_table
from tfbind.tensors import scanned, windowed

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
EXPRESSION = Input(
    "expression", "expression", "float32", along="cell", features=("MYC", "JUN", "MAX")
)
MOTIFS = """MEME version 4

ALPHABET= ACGT

MOTIF even
letter-probability matrix: alength= 4 w= 4
 0.7 0.1 0.1 0.1
 0.1 0.1 0.7 0.1
 0.25 0.25 0.25 0.25
 0.1 0.8 0.05 0.05

MOTIF odd
letter-probability matrix: alength= 4 w= 7
 0.9 0.05 0.03 0.02
 0.1 0.1 0.7 0.1
 0.2 0.3 0.1 0.4
 0.1 0.8 0.05 0.05
 0.1 0.1 0.7 0.1
 0.5 0.1 0.2 0.2
 0.1 0.1 0.1 0.7
"""


@pytest.fixture(scope="module")
def motifs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("motifs") / "motifs.meme"
    path.write_text(MOTIFS)
    return path


@pytest.fixture(scope="module")
def codes(data: Path) -> npt.NDArray[np.uint8]:
    """Read real bases, of which a few are made unknown."""
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    found = genome.codes(next(iter(genome.sizes)), 47_000_000, 47_003_000).copy()
    found[[700, 1500, 1501]] = 4
    return found


def run(model: keras.Model, arrays: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    graph = write_graph(model, list(arrays), "scores")
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, arrays)[0])


def test_shape_in_the_graph_is_the_table_standardised(codes: npt.NDArray[np.uint8]) -> None:
    lookup = channel(described("shape")[0]).graph
    assert isinstance(lookup, Lookup)
    ends = keras.Input((None,), name="sequence", dtype="uint8")
    model = keras.Model({"sequence": ends}, KmerRows(6, 4, lookup.rows)(ends))
    rows = run(model, {"sequence": codes[None]})
    digits = np.lib.stride_tricks.sliding_window_view(codes, 6) @ 5 ** np.arange(6)[::-1]
    values = hexamer_table()[digits].astype(np.float64)
    known = hexamer_table()[(np.indices((5,) * 6) < 4).all(axis=0).ravel()].astype(np.float64)
    expected = np.nan_to_num((values - known.mean(axis=0)) / known.std(axis=0))
    assert rows.shape == (1, len(codes) - 5, 4)
    np.testing.assert_allclose(rows[0], expected, atol=1e-5)
    assert (rows[0, 698:701, 0] == 0).all()  # the unknown base's own groove has no width
    np.testing.assert_array_equal(rows, np.asarray(model({"sequence": codes[None]})))


def test_motifs_in_the_graph_have_the_scores_of_the_scanner(
    codes: npt.NDArray[np.uint8], motifs: Path
) -> None:
    matrices = channel(described(f"motif={motifs}")[0]).graph
    assert isinstance(matrices, Matrices)
    ends = keras.Input((None,), name="sequence", dtype="uint8")
    made = BothStrands(2, 7, (matrices.forward, matrices.reverse))(OneHot()(ends))
    model = keras.Model({"sequence": ends}, made)
    rows = run(model, {"sequence": codes[None]})[0]
    np.testing.assert_allclose(rows, np.asarray(model({"sequence": codes[None]}))[0], atol=1e-5)
    for column, (motif, before) in enumerate(zip(read_motifs(motifs), (1, 0), strict=True)):
        best = Scanner(motif).scores(codes).max(axis=0)[before:][: len(rows)]
        known = np.isfinite(best)  # over an unknown base the scanner gives nothing, the graph 0
        assert known.sum() > 2900
        np.testing.assert_allclose(rows[known, column], best[known], atol=1e-4)


def every(motifs: Path) -> list[Input]:
    return [SEQUENCE, DNASE, described("shape")[0], described(f"motif={motifs}")[0], EXPRESSION]


def prepared(codes: npt.NDArray[np.uint8], length: int) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(length)
    return {
        "sequence": codes[:length],
        "dnase": rng.exponential(1, length).astype(np.float32),
        "expression": rng.normal(size=3).astype(np.float32),
    }


def disturbed(inputs: list[Input], geometry: Geometry, **sizes: int) -> keras.Model:
    """Build a network, and give its batch normalisation something to do, as training would."""
    model = shallow(inputs, geometry, 2, filters=8, dense=16, joint=32, **sizes)
    disturb(model)
    return model


@pytest.mark.parametrize(
    ("geometry", "sizes"),
    [(Geometry(), {}), (Geometry(600, 200, 50), {"pool": 7, "signal_pool": 30, "track_width": 3})],
    ids=["usual", "odd"],
)
@pytest.mark.parametrize("both_strands", [False, True], ids=["one strand", "both strands"])
def test_scans_windows_and_both_graphs_agree(
    geometry: Geometry,
    sizes: dict[str, int],
    both_strands: bool,
    codes: npt.NDArray[np.uint8],
    motifs: Path,
) -> None:
    inputs = every(motifs)
    model = disturbed(inputs, geometry, **sizes)
    contract = Contract(geometry, tuple(inputs), ("a", "b"))
    names = [spec.name for spec in contract.fed]
    assert names == ["sequence", "dnase", "expression"]
    complements = [channel(spec).complement for spec in contract.fed] if both_strands else None
    graphs = [
        write_graph(model, names, "scores", complements),
        converted(strands(model, inputs, both_strands), inputs),
    ]
    function = strands(model, inputs, both_strands)
    arrays = prepared(codes, geometry.length(13))
    expected = np.asarray(function(*scanned(arrays).values()))
    assert expected.shape == (1, 13, 2)
    assert np.ptp(expected) > 1e-3
    for graph in graphs:
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        scan = session.run(["scores"], scanned(arrays))[0]
        windows = session.run(["scores"], windowed(arrays, contract))[0]
        np.testing.assert_allclose(scan, expected, atol=2e-6)
        np.testing.assert_allclose(windows[:, 0], expected[0], atol=2e-6)


def test_the_other_strand_has_the_same_shape_and_motifs(
    codes: npt.NDArray[np.uint8], motifs: Path
) -> None:
    matrices, lookup = (channel(described(text)[0]).graph for text in (f"motif={motifs}", "shape"))
    assert isinstance(matrices, Matrices)
    assert isinstance(lookup, Lookup)
    turned = np.array([3, 2, 1, 0, 4], np.uint8)[codes[::-1]]
    motif = BothStrands(2, 7, (matrices.forward, matrices.reverse))
    there, back = (np.asarray(motif(OneHot()(one[None])))[0] for one in (codes, turned))
    np.testing.assert_allclose(back[::-1, 1], there[:, 1], atol=1e-5)
    # The even motif has a column more behind than before: it lies one base off.
    np.testing.assert_allclose(back[::-1, 0][:-1], there[1:, 0], atol=1e-5)
    shape = KmerRows(6, 4, lookup.rows)
    there, back = (np.asarray(shape(one[None]))[0] for one in (codes, turned))
    np.testing.assert_allclose(back[::-1, 2:], there[:, 2:], atol=1e-5)  # the same steps
    # Of a hexamer's two middle bases the first is told of: from behind it is the other.
    np.testing.assert_allclose(back[::-1, :2][:-1], there[1:, :2], atol=1e-5)


def test_a_vector_decides_all_bins_alike(codes: npt.NDArray[np.uint8], motifs: Path) -> None:
    inputs = [SEQUENCE, EXPRESSION]
    model = disturbed(inputs, Geometry())
    arrays = {name: one for name, one in prepared(codes, 1600).items() if name != "dnase"}
    before = model.predict(scanned(arrays), verbose=0)
    arrays["expression"] = arrays["expression"] + 1
    changed = model.predict(scanned(arrays), verbose=0)
    assert (before != changed).all()
    arrays["expression"] = np.tile(arrays["expression"], 1)
    alone = model.predict(
        {"sequence": arrays["sequence"][None, 50:1050], "expression": arrays["expression"][None]},
        verbose=0,
    )
    np.testing.assert_allclose(alone[0, 0], changed[0, 1], atol=1e-6)  # the second bin's window


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' saving
def test_saved_networks_keep_their_tables(
    tmp_path: Path, codes: npt.NDArray[np.uint8], motifs: Path
) -> None:
    model = disturbed(every(motifs), Geometry())
    model.save(tmp_path / "all.keras")
    loaded = keras.saving.load_model(tmp_path / "all.keras")
    arrays = scanned(prepared(codes, 1100))
    np.testing.assert_array_equal(
        loaded.predict(arrays, verbose=0), model.predict(arrays, verbose=0)
    )


def test_what_is_made_from_bases_needs_them() -> None:
    with pytest.raises(InputError, match="'shape' is made from 'sequence', which is not among"):
        entries([DNASE, described("shape")[0]], Geometry())


def test_cell_types_alone_tell_nothing_of_bins() -> None:
    with pytest.raises(InputError, match="inputs of the cell type alone"):
        shallow([EXPRESSION], Geometry())


def test_a_window_must_hold_what_is_looked_at() -> None:
    with pytest.raises(InputError, match="'shape' looks at 6 bases at once, more than the window"):
        entries([SEQUENCE, described("shape")[0]], Geometry(5, 1, 1))


def test_layers_of_other_kinds_of_rows_fit(codes: npt.NDArray[np.uint8]) -> None:
    ends, (sequence, shape) = entries([SEQUENCE, described("shape")[0]], Geometry())
    joined = layers.Concatenate(axis=1)([one.rows for one in (sequence, shape)])
    model = keras.Model(ends, joined)
    assert (sequence.width, shape.width) == (1000, 995)
    assert model({"sequence": codes[None, :1000]}).shape == (1, 1995, 4)
