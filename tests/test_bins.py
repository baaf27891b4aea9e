"""`tfbind bin` and the grid."""

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import Tfbind
from hypothesis import given, settings
from hypothesis import strategies as st

from tfbind.bins import BLOCK, Bins, grid
from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.regions import Region, RegionSet, parse_regions

SIZES = "chr2\t430\nchr1\t1000\nshort\t199\nexact\t200\n"


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    path = tmp_path / "chrom.sizes"
    path.write_text(SIZES)
    return path


def rows(text: bytes) -> list[tuple[str, int, int]]:
    fields = [line.split("\t") for line in text.decode().splitlines()]
    return [(contig, int(start), int(end)) for contig, start, end in fields]


def flat(bins: Bins) -> list[tuple[str, int]]:
    return [(contig, int(start)) for contig, starts in bins.blocks() for start in starts]


def test_bins_end_inside_the_contig_in_the_genomes_order(tfbind: Tfbind, sizes: Path) -> None:
    done = tfbind("bin", sizes)
    assert (done.returncode, done.stderr) == (0, b"")
    chr2 = [("chr2", start, start + 200) for start in (0, 50, 100, 150, 200)]
    chr1 = [("chr1", start, start + 200) for start in range(0, 801, 50)]
    assert rows(done.stdout) == [*chr2, *chr1, ("exact", 0, 200)]


def test_the_genome_may_come_from_the_environment(tfbind: Tfbind, sizes: Path) -> None:
    done = tfbind("bin", env={"TFBIND_FASTA": str(sizes)})
    assert done.stdout == tfbind("bin", sizes).stdout


def test_every_kind_of_genome_gives_the_same_bins(tfbind: Tfbind, data: Path) -> None:
    fasta = data / "hg19.chrX_cut.fa.gz"
    size = Genome(fasta).sizes["chrX"]
    expected = tfbind("bin", fasta, "--stride", "200").stdout
    assert rows(expected)[-1] == (
        "chrX",
        (size - 200) // 200 * 200,
        (size - 200) // 200 * 200 + 200,
    )
    assert tfbind("bin", f"{fasta}.fai", "--stride", "200").stdout == expected


def test_a_bigwig_is_a_genome(tfbind: Tfbind, data: Path) -> None:
    done = tfbind("bin", data / "K562.dnase.bw", "--region", "chrX:1001-1300")
    assert done.stdout == b"chrX\t1000\t1200\nchrX\t1050\t1250\nchrX\t1100\t1300\n"


def test_no_genome_is_a_usage_error(tfbind: Tfbind) -> None:
    done = tfbind("bin")
    assert done.returncode == 2
    assert b"TFBIND_FASTA" in done.stderr


def test_chroms_keep_the_genomes_order(tfbind: Tfbind, sizes: Path) -> None:
    done = tfbind("bin", sizes, "--chroms", "exact,chr1", "--chroms", "chr2", "--stride", "200")
    assert [row[0] for row in rows(done.stdout)] == ["chr2"] * 2 + ["chr1"] * 5 + ["exact"]


def test_an_unknown_chromosome_shows_names_of_both_sides(tfbind: Tfbind, sizes: Path) -> None:
    done = tfbind("bin", sizes, "--chroms", "chr9")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        f"tfbind: {sizes}: has no contig 'chr9': the input names chr9, this file chr2, chr1, "
        "short, ...; give --alias FILE or --chr-prefix add|strip\n"
    )
    assert tfbind("bin", sizes, "--region", "chr9:1-500").returncode == 1


def test_prefix_and_alias_apply_to_names_that_are_asked_for(
    tfbind: Tfbind, sizes: Path, tmp_path: Path
) -> None:
    expected = tfbind("bin", sizes, "--chroms", "chr2").stdout
    assert tfbind("bin", sizes, "--chroms", "2", "--chr-prefix", "add").stdout == expected
    alias = tmp_path / "alias"
    alias.write_text("NC_2\tchr2\n")
    assert tfbind("bin", sizes, "--chroms", "NC_2", "--alias", alias).stdout == expected


def test_region_bins_are_on_the_absolute_grid_wholly_inside(tfbind: Tfbind, sizes: Path) -> None:
    done = tfbind("bin", sizes, "--region", "chr1:102-399")
    assert rows(done.stdout) == [("chr1", 150, 350)]
    done = tfbind("bin", sizes, "--region", "chr1:101-400")
    assert rows(done.stdout) == [("chr1", start, start + 200) for start in (100, 150, 200)]


def test_overlapping_regions_give_each_bin_once(tfbind: Tfbind, sizes: Path) -> None:
    regions = ["--region", "chr1:201-500", "--region", "chr1:1-350", "--region", "chr2:231-430"]
    done = tfbind("bin", sizes, *regions)
    starts = [("chr1", start) for start in (0, 50, 100, 150, 200, 250, 300)]
    assert [row[:2] for row in rows(done.stdout)] == starts
    # A bin that lies across two regions lies inside neither.
    touching = tfbind("bin", sizes, "--region", "chr1:1-200,chr1:201-400")
    assert rows(touching.stdout) == [("chr1", 0, 200), ("chr1", 200, 400)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--region", "chr1:5-2"], "expected from and to with 1 <= from <= to"),
        (["--region", "chr1:0-2"], "expected from and to with 1 <= from <= to"),
        (["--region", "chr1:a-b"], "expected a contig or contig:from-to"),
        (["--region", "chr1:100-x"], "expected a contig or contig:from-to"),
        (["--region", ""], "--region names no place"),
        (
            ["--chroms", "chr2", "--region", "chr1:1-500"],
            "--region chr1:1-500 lies on none of --chroms chr2",
        ),
        (["--shard", "3/2"], "expected 1 <= I <= N"),
        (["--shard", "0/2"], "expected 1 <= I <= N"),
        (["--shard", "half"], "expected I/N"),
        (["--size", "0"], "--size"),
        (["--skip-n", "2"], "--skip-n"),
    ],
)
def test_wrong_options_are_usage_errors(
    tfbind: Tfbind, sizes: Path, options: list[str], message: str
) -> None:
    done = tfbind("bin", sizes, *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in " ".join(done.stderr.decode().split())


def test_a_region_beyond_the_end_is_an_error(tfbind: Tfbind, sizes: Path) -> None:
    done = tfbind("bin", sizes, "--region", "chr1:1001-2000")
    assert done.returncode == 1
    assert b"chr1:1001-2000 begins beyond the end of chr1, which has 1000 bp" in done.stderr
    ends_beyond = tfbind("bin", sizes, "--region", "chr1:701-999,999")
    assert rows(ends_beyond.stdout) == [("chr1", 700, 900), ("chr1", 750, 950), ("chr1", 800, 1000)]


def test_margin_stays_inside_both_ends(tfbind: Tfbind, tmp_path: Path) -> None:
    genome = tmp_path / "sizes"
    genome.write_text("chr1\t1999\n")
    starts = [row[1] for row in rows(tfbind("bin", genome, "--margin", "600").stdout)]
    assert starts == list(range(600, 1200, 50))
    assert tfbind("bin", genome, "--margin", "610").stdout.startswith(b"chr1\t650\t850\n")


def test_exclude_drops_every_bin_that_shares_a_base(
    tfbind: Tfbind, sizes: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.bed"
    bad.write_text("#made by hand\nchr1\t400\t401\tx\nchr1\t0\t50\ty\nelsewhere\t0\t9\tz\n")
    done = tfbind("bin", sizes, "--chroms", "chr1", "--exclude", bad)
    kept = [start for start in range(0, 801, 50) if start >= 50 and not 200 < start <= 400]
    assert [row[1] for row in rows(done.stdout)] == kept
    assert done.stderr == f"tfbind: kept {len(kept)} of 17 bins\n".encode()
    same = tfbind("bin", sizes, "--chroms", "chr1", "-q", env={"TFBIND_BLACKLIST": str(bad)})
    assert (same.stdout, same.stderr) == (done.stdout, b"")


def test_exclude_matches_names_by_prefix_and_refuses_strangers(
    tfbind: Tfbind, sizes: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.bed"
    bad.write_text("1\t0\t1000\n")
    done = tfbind("bin", sizes, "--exclude", bad)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"shares no contig with the genome: they name chr2, chr1, short" in done.stderr
    done = tfbind("bin", sizes, "--exclude", bad, "--chr-prefix", "strip")
    assert {row[0] for row in rows(done.stdout)} == {"chr2", "exact"}


def test_a_truncated_exclude_file_is_an_error(tfbind: Tfbind, sizes: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.bed.gz"
    bad.write_bytes(gzip.compress(b"chr1\t0\t50\n" * 100)[:-9])
    done = tfbind("bin", sizes, "--exclude", bad)
    assert (done.returncode, done.stdout) == (1, b"")
    assert str(bad).encode() in done.stderr
    assert b"cut short" in done.stderr


def test_skip_n_drops_bins_by_their_share_of_unknown_bases(tfbind: Tfbind, tmp_path: Path) -> None:
    fasta = tmp_path / "g.fa"
    fasta.write_text(">c\n" + "ACGT" * 5 + "N" * 10 + "acgtR" * 2 + "\n")
    unknown = np.zeros(40)
    unknown[20:30] = unknown[[34, 39]] = 1
    for fraction in (0, 0.1, 0.3, 0.5, 1):
        done = tfbind("bin", fasta, *f"--size 10 --stride 1 --skip-n {fraction} -q".split())
        expected = [s for s in range(31) if unknown[s : s + 10].sum() <= fraction * 10 + 1e-9]
        assert [row[1] for row in rows(done.stdout)] == expected


def test_skip_n_on_the_real_genome(tfbind: Tfbind, data: Path) -> None:
    fasta = data / "hg19.chrX_cut.fa.gz"
    done = tfbind("bin", fasta, "--skip-n", "0.5", "--region", "chrX:49,200,001-49,400,000")
    starts = [row[1] for row in rows(done.stdout)]
    # hg19 has 50,000 N from 49,242,997 on; 100 of a bin's 200 bases may be among them.
    before, behind = range(49_200_000, 49_242_851, 50), range(49_292_900, 49_399_801, 50)
    assert starts == [*before, *behind]


def test_skip_n_needs_sequence(tfbind: Tfbind, sizes: Path) -> None:
    done = tfbind("bin", sizes, "--skip-n", "0.5")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"expected FASTA" in done.stderr


def test_shards_concatenate_to_the_whole_whatever_is_filtered(
    tfbind: Tfbind, sizes: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.bed"
    bad.write_text("chr1\t300\t500\n")
    for options in ([], ["--exclude", str(bad), "-q"]):
        whole = tfbind("bin", sizes, *options).stdout
        parts = [tfbind("bin", sizes, *options, "--shard", f"{i}/5").stdout for i in range(1, 6)]
        assert b"".join(parts) == whole
        assert all(parts) == (not options)


def test_output_is_not_replaced_without_force(tfbind: Tfbind, sizes: Path, tmp_path: Path) -> None:
    target = tmp_path / "bins.bed"
    target.write_text("mine")
    done = tfbind("bin", sizes, "-o", target)
    assert (done.returncode, target.read_text()) == (1, "mine")
    assert b"--force" in done.stderr
    assert tfbind("bin", sizes, "-o", target, "--force").returncode == 0
    assert target.read_bytes() == tfbind("bin", sizes).stdout


def test_a_bad_genome_names_the_line(tfbind: Tfbind, tmp_path: Path) -> None:
    path = tmp_path / "sizes"
    path.write_text("chr1\t1000\nchr2\tmany\n")
    done = tfbind("bin", path)
    assert done.returncode == 1
    assert f"{path}: line 2: found 'chr2\\tmany'".encode() in done.stderr


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 300), min_size=1),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 50),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 299), st.integers(1, 200))),
)
def test_the_grid_is_what_a_loop_would_give(
    sizes: dict[str, int],
    size: int,
    stride: int,
    margin: int,
    places: list[tuple[str, int, int]],
) -> None:
    regions = [Region(c, s, s + n) for c, s, n in places if s < sizes.get(c, 0)]
    bins = grid(sizes, size, stride, margin=margin, regions=regions or None)
    expected = [
        (contig, start)
        for contig, length in sizes.items()
        for start in range(0, length, stride)
        if margin <= start
        and start + size <= length - margin
        and (
            not regions
            or any(
                r.contig == contig and r.start <= start and start + size <= (r.end or 0)
                for r in regions
            )
        )
    ]
    assert flat(bins) == expected
    assert len(bins) == len(expected)


@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 40))
def test_shards_differ_in_length_by_one_at_most(count: int, first: int, second: int) -> None:
    bins = grid({"a": first, "b": second}, 3, 2)
    shards = [bins.shard(number, count) for number in range(1, count + 1)]
    assert [bin_ for shard in shards for bin_ in flat(shard)] == flat(bins)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_blocks_are_bounded_and_join_up() -> None:
    bins = grid({"a": 50 * (2 * BLOCK + 5)}, 50, 50)
    blocks = [starts for _, starts in bins.blocks()]
    assert [len(starts) for starts in blocks] == [BLOCK, BLOCK, 5]
    assert all(int(b[0]) - int(a[-1]) == 50 for a, b in pairwise(blocks))


def test_regions_are_read_as_samtools_writes_them() -> None:
    texts = ["chr1", "chr2:11-20,chr3", "chr4:1,001-2,000,chr5:1-9", "8,21"]
    assert parse_regions(texts) == [
        Region("chr1"),
        Region("chr2", 10, 20),
        Region("chr3"),
        Region("chr4", 1000, 2000),
        Region("chr5", 0, 9),
        Region("8"),
        Region("21"),
    ]
    assert parse_regions(["HLA:01:5-9"]) == [Region("HLA:01", 4, 9)]
    assert parse_regions(["HLA:01"], known=["HLA:01"]) == [Region("HLA:01")]
    assert parse_regions(["HLA:01"]) == [Region("HLA")]
    with pytest.raises(InputError, match="found region 'HLA:x'"):
        parse_regions(["HLA:x"])


def test_region_sets_answer_for_any_batch() -> None:
    places = RegionSet(parse_regions(["b:11-20,b:15-30,c"]))
    batch = grid({"a": 100, "b": 100, "c": 100}, 10, 10)
    for contig, starts in batch.blocks():
        placed = _Placed((contig,), np.zeros(10, np.int32), starts, starts + 10)
        expected = {"a": [False] * 10, "b": [False, True, True] + [False] * 7, "c": [True] * 10}
        assert places.overlaps(placed).tolist() == expected[contig]
        assert not RegionSet([]).overlaps(placed).any()


class _Placed:
    def __init__(
        self,
        contigs: tuple[str, ...],
        codes: np.ndarray[tuple[int], np.dtype[np.int32]],
        starts: np.ndarray[tuple[int], np.dtype[np.int64]],
        ends: np.ndarray[tuple[int], np.dtype[np.int64]],
    ) -> None:
        self.contigs, self.codes, self.starts, self.ends = contigs, codes, starts, ends


@pytest.mark.parametrize("region", ["chr1:601", "chr1:601-", "chr1:601-1000000"])
def test_an_open_region_reaches_to_the_end(tfbind: Tfbind, region: str, tmp_path: Path) -> None:
    path = tmp_path / "sizes"
    path.write_text("chr1\t1000\nchr2\t1000\n")
    done = tfbind("bin", path, "--region", region)
    assert [row[1] for row in rows(done.stdout)] == list(range(600, 801, 50))


def test_regions_are_lists_with_or_without_thousands() -> None:
    text = "chr1,chr2:1,001-2,000,chr3:5-,chr4:1,000,chr5"
    found = [str(region) for region in parse_regions([text])]
    assert found == ["chr1", "chr2:1001-2000", "chr3:5-", "chr4:1000-", "chr5"]
