"""Tables of cell types."""

import gzip
from pathlib import Path

import pytest

from tfbind.cells import read_cell_table
from tfbind.errors import InputError


def test_a_table_is_read(tmp_path: Path) -> None:
    text = "# from somewhere\r\ncell\tMYC\tJUN\r\n\r\nHeLa-S3\t1.5\t-2e1\r\nK562\t3\t4"
    for name, content in (("plain", text.encode()), ("gzip", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(content)
        table = read_cell_table(tmp_path / name)
        assert table.columns == ("MYC", "JUN")
        assert table.rows == {"HeLa-S3": (1.5, -20), "K562": (3, 4)}
        assert table.of("K562") == (3, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no cell type"),
        ("cell\tMYC\n", "holds no cell type"),
        ("cell\n", "line 1: found the header none"),
        ("cell\tMYC\tMYC\n", "line 1: found the header MYC, MYC"),
        ("cell\tMYC\nK562\t1\t2\n", r"line 2: found 2 value\(s\) of 'K562', expected 1"),
        ("cell\tMYC\nK562\tmany\n", "line 2: found 'many' as MYC of 'K562', expected a number"),
        ("cell\tMYC\nK562\tnan\n", "line 2: found 'nan' as MYC"),
        ("cell\tMYC\nK562\t1\nK562\t2\n", "line 3: found a second line of 'K562'"),
        ("cell,MYC\nK562,1\n", "line 1: found the header none"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "cells.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_cell_table(tmp_path / "cells.tsv")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_cell_table(tmp_path / "absent.tsv")
    (tmp_path / "binary").write_bytes(b"cell\t\xff\xfe\n")
    with pytest.raises(InputError, match="is no text"):
        read_cell_table(tmp_path / "binary")


def test_another_tables_values_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cells.tsv").write_text("cell\tMYC\nK562\t1\n")
    table = read_cell_table(tmp_path / "cells.tsv")
    table.require_columns(("MYC",))
    with pytest.raises(InputError, match="has the 1 values MYC, but the model learnt from 2, A, B"):
        table.require_columns(("A", "B"))
