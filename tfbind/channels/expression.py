"""A vector for each cell type, such as expression."""

from dataclasses import replace

import numpy as np

from tfbind.cells import CellTable, read_cell_table
from tfbind.channels.base import Array, Channel, Reader, Sources, TrainingCells
from tfbind.contract import Input
from tfbind.errors import InputError


class ExpressionChannel(Channel):
    """The values that a table has for the cell type, standardised on the training cells."""

    blank = 0
    enters = "joined"

    @classmethod
    def described(cls, argument: str | None) -> Input:
        """Describe the table in a file."""
        if not argument:
            raise InputError("found no table, expected expression=FILE")
        table = read_cell_table(argument)
        return Input(
            "expression",
            "expression",
            "float32",
            along="cell",
            features=table.columns,
            table=dict(table.rows),
        )

    def of_cell(self, cell: str) -> Array:
        """Give the vector of a cell type, shape (values,), float32."""
        place = f"the table of the input {self.spec.name!r}"
        return _vector(CellTable(place, self.spec.features, self.spec.table), cell)

    def reader(self, sources: Sources) -> Reader:
        """Give the vector of the sources' cell type, wherever on the genome.

        Raises
        ------
        InputError
            If the table, the sources' or else the contract's, lacks it or has other values.
        """
        table = sources.tables.get(self.spec.name)
        if table is not None:
            table.require_columns(self.spec.features)
        vector = self.of_cell(sources.cell) if table is None else _vector(table, sources.cell)
        return lambda contig, start, end: vector

    def prepare(self, raw: Array) -> Array:
        """Standardise."""
        mean, deviation = (np.array(one) for one in (self.spec.mean, self.spec.deviation))
        return np.asarray((raw - mean) / deviation, np.float32)

    def fitted(self, training: TrainingCells, wanted: str) -> Input:
        """Take mean and deviation of each value over the training cells."""
        super().fitted(training, wanted)
        vectors = np.array([self.of_cell(cell) for cell in training.cells], np.float64)
        deviation = vectors.std(axis=0)
        deviation[deviation == 0] = 1  # the same in all training cells: it tells nothing
        return replace(
            self.spec,
            mean=tuple(vectors.mean(axis=0).tolist()),
            deviation=tuple(deviation.tolist()),
        )

    def reverse_complement(self, raw: Array) -> Array:
        """Give the vector as it is."""
        return raw


def _vector(table: CellTable, cell: str) -> Array:
    return np.array(table.of(cell), np.float32)
