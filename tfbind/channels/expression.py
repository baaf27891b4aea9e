"""A vector for each cell type, such as expression."""

from dataclasses import replace

import numpy as np

from tfbind.cells import CellTable, read_cell_table
from tfbind.channels.base import Array, Channel, Reader, Sources, TrainingCells
from tfbind.contract import Input
from tfbind.errors import InputError, RequestError


class ExpressionChannel(Channel):
    """The values that a table has for the cell type, standardised on the training cells."""

    blank = 0
    enters = "joined"

    @classmethod
    def described(cls, argument: str | None) -> Input:
        """Describe the table in a file."""
        if not argument:
            raise RequestError("found no table, expected expression=FILE")
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
        if self.spec.name in sources.files:
            table = read_cell_table(sources.file(self.spec.name))
            table.require_columns(self.spec.features)
            vector = _vector(table, sources.cell)
        else:
            vector = self.of_cell(sources.cell)
        return lambda contig, start, end: vector

    def prepare(self, raw: Array) -> Array:
        """Standardise; a value without deviation in training, of which nothing is known, is 0."""
        mean, deviation = (np.array(one) for one in (self.spec.mean, self.spec.deviation))
        varied = deviation > 0
        return np.where(varied, (raw - mean) / np.where(varied, deviation, 1), 0).astype(np.float32)

    def fitted(self, training: TrainingCells, wanted: str) -> Input:
        """Take mean and deviation of each value over the training cells.

        Raises
        ------
        InputError
            If no value differs between them: there is nothing to learn from it.
        """
        super().fitted(training, wanted)
        vectors = np.array([self.of_cell(cell) for cell in training.cells], np.float64)
        # Equal numbers may deviate by a rounding from their mean.
        deviation = np.where(np.ptp(vectors, axis=0) > 0, vectors.std(axis=0), 0)
        if not deviation.any():
            raise InputError(
                f"the input {self.spec.name!r} is the same in all training cells "
                f"({', '.join(training.cells)}), so nothing can be learnt from it; give tiles of "
                "more cell types, or leave it out by --inputs"
            )
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
