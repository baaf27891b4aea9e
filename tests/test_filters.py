"""Filters as motifs, by hand on small networks."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")
pytest.importorskip("logomaker", reason="pip install 'tfbind[explain]'")

import keras
from keras import layers

from tfbind.channels import Sources
from tfbind.contract import Contract, Geometry, Input
from tfbind.errors import InputError, RequestError
from tfbind.genome import Genome, base_codes
from tfbind.interpret.convolutions import convolutions
from tfbind.interpret.filters import (
    BestSites,
    best_sites,
    frequencies,
    information,
    positive_frequencies,
    sites_of,
)
from tfbind.interpret.influence import influences
from tfbind.interpret.learnt import EvenlySpaced, Scan
from tfbind.interpret.logits import chosen_task
from tfbind.interpret.logos import aligned
from tfbind.interpret.matches import best_matches, core, false_discovery_rates
from tfbind.interpret.outputs import before_activation
from tfbind.interpret.windows import read_windows
from tfbind.intervals import IntervalReader, Intervals, read_intervals
from tfbind.meme import Counted, meme_text
from tfbind.motifs import Motif, motifs_in
from tfbind.networks import ARCHITECTURES
from tfbind.networks.heads import each, exclusive, members, nodes
from tfbind.networks.layers import OneHot
from tfbind.signal import Signal
from tfbind.strands import stranded
from tfbind.tiles import Stretches

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")


def one_hot(word: str) -> npt.NDArray[np.float32]:
    return np.eye(5, 4, dtype=np.float32)[base_codes(word.encode())]


def scanner(*words: str) -> keras.Model:
    """Build a network whose filters count the matches with words of one length."""
    codes = keras.Input((None,), name="sequence", dtype="uint8")
    convolution = layers.Conv1D(len(words), len(words[0]), name="convolution")
    found = layers.GlobalMaxPooling1D(keepdims=True)(convolution(OneHot()(codes)))
    model = keras.Model({"sequence": codes}, each(found, 1))
    convolution.set_weights([np.stack([one_hot(w) for w in words], -1), np.zeros(len(words))])
    return model


def codes_of(*texts: str) -> npt.NDArray[np.uint8]:
    return np.stack([base_codes(text.encode()) for text in texts])


def bed(*lines: str) -> Intervals:
    text = "".join(f"{line}\n".replace(" ", "\t") for line in lines)
    (batch,) = IntervalReader(BytesIO(text.encode()), "test.bed")
    return batch


def test_weights_become_frequencies() -> None:
    weights = np.array([[2, -1, 0, 0], [1, 0, -3, 0], [-1, -2, -3, -4]])
    expected = [[1, 0, 0, 0], [0.625, 0.125, 0.125, 0.125], [0.25] * 4]
    assert positive_frequencies(weights).tolist() == expected
    assert positive_frequencies(-np.ones((2, 4))).tolist() == [[0.25] * 4] * 2


def test_the_heights_of_a_logo_are_bits() -> None:
    shares = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4])
    assert information(shares).tolist() == [[2, 0, 0, 0], [0.5, 0.5, 0, 0], [0] * 4]


def test_best_sites_are_the_first_of_the_best() -> None:
    (convolution,) = convolutions(scanner("ACG", "TTT"))
    found = best_sites(codes_of("GGACGACG", "NTTTNNTT"), convolution)
    assert found.values.tolist() == [[3, 0], [0, 3]]
    assert found.places.tolist() == [[2, 0], [0, 1]]


@pytest.mark.parametrize("name", ["shallow", "deep", "tss", "deepbind", "basset", "danq"])
def test_best_sites_are_those_of_the_network(name: str) -> None:
    geometry = ARCHITECTURES[name].geometry
    model = ARCHITECTURES[name].build([SEQUENCE], geometry, 1)
    (convolution,) = convolutions(model)
    codes = np.random.default_rng(1).integers(0, 4, (3, geometry.window), np.uint8)
    maps = np.asarray(keras.Model(model.inputs, convolution.layer.output)([codes]))
    # A published network may pad its windows, which counts here as outside of them.
    before = (maps.shape[1] - geometry.window + convolution.width - 1) // 2
    inside = maps[:, before : maps.shape[1] - before]
    found = best_sites(codes, convolution)
    rectified = convolution.layer.activation is keras.activations.relu
    values = np.maximum(found.values, 0) if rectified else found.values
    np.testing.assert_allclose(values, inside.max(axis=1), atol=1e-5)
    at = np.take_along_axis(inside, found.places[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(at, inside.max(axis=1), atol=1e-5)


def test_filters_over_a_part_of_the_window_are_found() -> None:
    build = ARCHITECTURES["tss"].build
    model = build([SEQUENCE], ARCHITECTURES["tss"].geometry, 2, keep="-35:-20,-10:10")
    (convolution,) = convolutions(model)
    assert convolution.kernel.shape == (10, 4, 16)


def test_filters_over_the_sequence_are_found_beside_other_channels() -> None:
    codes = keras.Input((None,), name="sequence", dtype="uint8")
    signal = keras.Input((None, 2), name="signal")
    rows = layers.Concatenate()([signal, layers.Dropout(0.5)(OneHot()(codes))])
    first, other = layers.Conv1D(3, 5), layers.Conv1D(7, 1)
    model = keras.Model([codes, signal], layers.Add()([other(first(rows)), other(first(rows))]))
    (found,) = convolutions(model)
    np.testing.assert_array_equal(found.kernel, first.get_weights()[0][:, 2:])
    assert found.names == ("filter_1", "filter_2", "filter_3")


def test_each_member_has_filters_and_some_networks_have_none() -> None:
    geometry = Geometry()
    best = ARCHITECTURES["best"].build([SEQUENCE], geometry, 2, ensemble=2, filters=3)
    names = [one.names[0] for one in convolutions(best)]
    assert names == ["member_1_filter_1", "member_2_filter_1"]
    with pytest.raises(InputError, match="has no convolution over the sequence"):
        convolutions(ARCHITECTURES["best"].build([SEQUENCE], geometry, 1, filters=0))


def sites(
    values: Sequence[float], places: Sequence[int], texts: Sequence[str], keys: Sequence[int]
) -> tuple[int, list[list[int]]]:
    bound = BestSites(np.array(values, np.float32)[:, None], np.array(places, np.int32)[:, None])
    unbound, highest = np.array([[4.0], [1.9]], np.float32), np.array([4], np.float32)
    (found,) = sites_of(bound, unbound, highest, codes_of(*texts), np.array(keys), 2, 0.5)
    assert found.threshold == 2
    assert found.bound == pytest.approx(np.mean(np.array(values) >= 2))
    assert found.unbound == 0.5
    return found.count, found.counts.tolist()


def test_a_site_counts_once() -> None:
    # The first two are one place of the genome, the third is another, the last is too weak.
    count, counts = sites(
        [3, 3, 2, 1.9], [2, 0, 1, 0], ["GGACT", "ACTTT", "TNCGG", "TTTTT"], [10, 12, 40, 80]
    )
    assert count == 2
    assert counts == [[1, 0, 0, 0], [0, 2, 0, 0]]


def test_a_filter_that_never_answers_has_no_sites() -> None:
    none = BestSites(np.array([[-1.0]], np.float32), np.zeros((1, 1), np.int32))
    empty, highest = np.zeros((0, 1), np.float32), np.array([-1], np.float32)
    (found,) = sites_of(none, empty, highest, codes_of("ACG"), np.zeros(1, int), 2, 0.5)
    assert (found.count, found.bound) == (0, 0)
    assert np.isnan(found.unbound)
    assert frequencies(found.counts).tolist() == [[0.25] * 4] * 2


def test_overlapping_bins_on_both_strands_find_each_site_once() -> None:
    # The genome: ACG at 6, and CGT at 12, which is ACG on the minus strand, ending at 15.
    genome = "TTTTTTACGTTTCGTTTTTT"
    complement = str.maketrans("ACGT", "TGCA")
    lines = ["c 4 10 B . +", "c 6 12 B . +", "c 8 16 B . -", "c 9 17 B . -", "c 0 6 U . +"]
    batch = bed(*lines)
    convolved = convolutions(scanner("ACG"))
    scan = Scan(convolved, "sequence", 2)
    for row, (start, strand) in enumerate([(4, "+"), (5, "+"), (9, "-"), (10, "-"), (0, "+")]):
        part = batch.select(np.arange(len(batch)) == row)
        text = genome[start : start + 6]
        text = text.translate(complement)[::-1] if strand == "-" else text
        moved = Intervals(
            part.contigs,
            part.codes,
            np.array([start]),
            np.array([start + 6]),
            part.extra,
            part.text,
            part.numbers,
            np.array([strand == "-"]),
        )
        scan.add(moved, ["c"], {"sequence": codes_of(text)}, np.array([row < 4]))
    ((_, (found,)),) = scan.sites(0.9)
    assert (found.count, found.bound, found.unbound) == (2, 1, 0)
    assert found.counts.tolist() == [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]
    assert (scan.bound, scan.unbound) == (4, 1)
    assert len(scan.sample["sequence"]) == 2


@pytest.mark.parametrize("count", [0, 3, 4, 9, 1000])
def test_items_are_kept_evenly_spaced(count: int) -> None:
    some: EvenlySpaced[int] = EvenlySpaced(2)
    for item in range(count):
        some.add(item)
    assert some.seen == count
    assert min(count, 2) <= len(some.kept) < 4
    assert some.kept[:1] == [0][:count]
    assert len(set(np.diff(some.kept).tolist())) <= 1


def test_windows_on_the_minus_strand_are_turned(data: Path) -> None:
    vector = Input(
        "cell", "expression", "float32", along="cell", features=("a", "b"), table={"K": (1.0, 2.0)}
    )
    contract = Contract(Geometry(300, 200, 50), (SEQUENCE, DNASE, vector), ("CTCF",))
    fasta, bigwig = data / "hg19.chrX_cut.fa.gz", data / "K562.dnase.bw"
    sources = Sources(Genome(fasta), {"dnase": Signal(bigwig)}, cell="K")
    stretches = Stretches(contract.geometry, contract.inputs, sources)
    with open(data / "K562.dnase.narrowPeak.gz", "rb") as stream:
        peaks = read_intervals(stream, "peaks")
    start = int(peaks.starts[3]) - 40
    place = f"chrX {start} {start + 200} B ."
    bins = stranded(bed(f"{place} +", f"{place} -"), "bins")
    windows = read_windows(bins, ["chrX"], contract, stretches)
    plus, minus = windows["sequence"]
    assert plus.tolist() == sources.genome.codes("chrX", start - 50, start + 250).tolist()
    assert minus.tolist() == (3 - plus[::-1]).tolist()
    plus, minus = windows["dnase"]
    assert plus.std() > 0
    assert (minus == plus[::-1]).all()
    assert (plus != minus).any()
    assert windows["cell"].tolist() == [[1, 2]] * 2


def test_influence_is_what_the_output_loses() -> None:
    model = scanner("ACG", "TTT")
    model.get_layer("logits").set_weights([np.array([[2.0], [0.0]]), np.array([0.5])])
    contract = Contract(Geometry(8, 8, 8), (SEQUENCE,), ("CTCF",))
    windows = {"sequence": codes_of("GGACGGGG", "TTTGGACG")}
    (convolution,) = convolutions(model)
    told: list[float] = []
    wanted = before_activation(model, contract, "CTCF")
    found = influences(model, wanted, convolution, windows, told.append)
    maps = np.asarray(keras.Model(model.inputs, convolution.layer.output)([windows["sequence"]]))
    assert found == pytest.approx([2 * (3 - maps[..., 0].mean()), 0], abs=1e-5)
    assert sum(told) == 4


def test_outputs_are_taken_before_their_activation() -> None:
    bases = keras.Input((None, 4), name="rows")
    tasks = ("one", "two")
    rows = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
    contract = Contract(Geometry(), (SEQUENCE,), tasks)

    def logit(ends: object, task: str, names: tuple[str, ...] = tasks) -> npt.NDArray[np.float32]:
        model = keras.Model(bases, ends)
        known = Contract(contract.geometry, contract.inputs, names)
        found = keras.Model(bases, [before_activation(model, known, task), ends])(rows)
        before, scores = (np.asarray(one) for one in found)
        assert before.shape == (2, 3)
        return np.stack([before, scores[..., names.index(task)]])

    before, score = logit(each(bases, 2), "two")
    np.testing.assert_allclose(1 / (1 + np.exp(-before)), score, rtol=1e-5)
    learnt = layers.Dense(6, name="logits")(bases)
    before, score = logit(nodes(learnt, 3), "two")
    raw = np.asarray(keras.Model(bases, learnt)(rows))
    np.testing.assert_allclose(before, raw[..., 5] - raw[..., 4], atol=1e-6)
    names = ("background", *tasks)
    before, score = logit(exclusive(bases, 2), "one", names)
    assert not np.allclose(before, score)
    parts = [layers.Dense(2)(bases) for _ in range(3)]
    before, _ = logit(members(parts), "one")
    raw = np.stack([np.asarray(keras.Model(bases, part)(rows)) for part in parts])
    np.testing.assert_allclose(before, raw[..., 0].mean(axis=0), atol=1e-6)


def test_a_task_is_chosen() -> None:
    two = ("one", "two")
    assert chosen_task(two, "two") == "two"
    assert chosen_task(("one",), None) == "one"
    with pytest.raises(RequestError, match="has the tasks one, two: choose one by --task"):
        chosen_task(two, None)
    with pytest.raises(RequestError, match="no task 'three': there is one, two"):
        chosen_task(two, "three")


def known_motifs(count: int = 60, width: int = 12) -> list[Motif]:
    rows = np.random.default_rng(1).dirichlet([0.3] * 4, (count, width))
    return [Motif(f"M{i}", f"TF{i}", one) for i, one in enumerate(rows)]


def test_a_motif_is_found_again_on_either_strand() -> None:
    known = known_motifs()
    part, turned = known[5].frequencies[2:10], known[7].frequencies[::-1, ::-1][3:]
    forward, reverse = best_matches([part, turned], known)
    assert (forward.motif.name, forward.strand, forward.offset) == ("M5", "+", -2)
    assert (reverse.motif.name, reverse.strand, reverse.offset) == ("M7", "-", -3)
    assert max(forward.pvalue, reverse.pvalue) < 1e-6
    for query, match in ((part, forward), (turned, reverse)):
        shown = aligned(
            match.motif.frequencies,
            offset=match.offset,
            turned=match.strand == "-",
            width=len(query),
        )
        np.testing.assert_array_equal(shown, query)


def test_the_core_has_no_long_even_part() -> None:
    even, telling = [0.25] * 4, [0.9, 0.1, 0, 0]
    rows = np.array([even, telling, even, even, telling, telling, even, even, even, telling, even])
    assert core(rows) == slice(1, 6)
    assert core(np.full((3, 4), 0.25)) == slice(0, 3)
    assert core(rows[5:]) in (slice(0, 1), slice(4, 5))


def test_a_motif_is_aligned_as_a_whole_though_its_core_is_compared() -> None:
    even, known = np.full((6, 4), 0.25), known_motifs()
    word = known[5].frequencies
    known[5] = Motif("long", "", np.concatenate([word, even, even[:1], word[:1]]))
    forward, reverse = best_matches([word, word[::-1, ::-1]], known)
    assert (forward.motif.name, forward.offset, forward.strand) == ("long", 0, "+")
    assert (reverse.motif.name, reverse.offset, reverse.strand) == ("long", -8, "-")


def test_a_vague_filter_is_not_like_a_motif_with_a_long_even_part() -> None:
    known = known_motifs(200)
    word, even = known[0].frequencies, np.full((15, 4), 0.25)
    known.append(Motif("spaced", "", np.concatenate([word[:6], even, word[6:]])))
    vague = np.random.default_rng(2).dirichlet([12] * 4, (8, 20))
    assert not any(one.motif.name == "spaced" for one in best_matches(list(vague), known))


def test_others_tell_what_is_expected_by_chance() -> None:
    known = known_motifs()
    (match,) = best_matches([known[3].frequencies], known[2:5], among=known[5:])
    assert match.motif.name == "M3"
    assert best_matches([], known) == best_matches([known[3].frequencies], []) == []


def test_false_discovery_rates_are_those_of_benjamini_and_hochberg() -> None:
    pvalues = np.array([[0.01, 0.5], [0.03, 0.02]])
    assert false_discovery_rates(pvalues) == pytest.approx(np.array([[0.04, 0.5], [0.04, 0.04]]))


def test_motifs_are_written_and_read_again(tmp_path: Path) -> None:
    one = Counted("filter_1_sites", "CTCF", np.array([[0.5, 0.25, 0.25, 0], [0, 0, 0, 1]]), 17)
    two = Counted("filter_2_weights", "", np.full((3, 4), 0.25))
    text = meme_text([one, two])
    assert "w= 2 nsites= 17" in text
    found = motifs_in(BytesIO(text.encode()), "f.meme", background="file")
    assert [(m.name, m.alternative) for m in found] == [
        ("filter_1_sites", "CTCF"),
        ("filter_2_weights", ""),
    ]
    np.testing.assert_allclose(found[0].frequencies, one.frequencies)
