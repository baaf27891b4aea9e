r"""Turn a network of maxATAC into ONNX, to be scored by tfbind.

Its trained networks lie at https://github.com/MiraldiLab/maxATAC_data, one folder a factor:

    python examples/maxatac_to_onnx.py CTCF_binary_revcomp99_fullModel_RR0_95.h5 ctcf.onnx
    tfbind bin --size 32 --stride 32 hg38.fa \\
      | tfbind score ctcf.onnx --step 32 --input ACGT+atac --fasta hg38.fa --signal atac=K562.bw

They take 1,024 bases, one-hot, and an ATAC signal between 0 and 1, as `maxatac normalize` makes it,
and give scores to 32 bins of 32 bp. A signal that is still to be divided by 20 is `atac:0:20`.

`maxatac predict` lays a window every 256 bp and takes the mean of the four scores that a bin gets
so: four times the work. `--every 256` puts that into the graph, which then takes 1,792 bases and
gives scores to the 8 bins in their midst.

Needs `pip install 'tfbind[train]'`.
"""

import argparse
import os
from pathlib import Path
from typing import Any

OPSET = 18
BIN = 32


def convert(weights: Path, path: Path, every: int | None = None) -> None:
    """Convert a file of Keras with one input, (batch, bases, channels), and one output.

    Parameters
    ----------
    weights : Path
        HDF5 or .keras.
    path : Path
        The ONNX file to be written: the input keeps its name, the output is named `scores`.
    every : int, optional
        Lay a window every so many base pairs, and take the mean.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import onnx
    import tensorflow as tf
    import tf2onnx

    # What it was trained with, losses of its authors' own among them, does not matter here.
    network = keras.saving.load_model(weights, compile=False)
    (taken,) = network.inputs
    _, window, channels = taken.shape
    length = window if every is None else 2 * window - every
    signature = [tf.TensorSpec((None, length, channels), tf.float32, name=taken.name)]

    def scores(bases: Any) -> dict[str, Any]:
        if every is None:
            return {"scores": network(bases, training=False)}
        return {"scores": mean_of_windows(network, bases, window, every)}

    function = tf.function(scores, input_signature=signature)
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, path)


def mean_of_windows(network: Any, bases: Any, window: int, every: int) -> Any:
    """Score the midmost bins by all windows that hold them, and take the mean.

    Parameters
    ----------
    network : keras.Model
    bases : tensor, shape (batch, 2 * window - every, channels)
    window, every : int

    Returns
    -------
    tensor, shape (batch, bins of `every` base pairs)
    """
    parts = []
    for start in range(0, window, every):
        first = (window - every - start) // BIN
        seen = network(bases[:, start : start + window], training=False)
        parts.append(seen[:, first : first + every // BIN])
    return sum(parts) / len(parts)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, metavar="KERAS", help="a network, .h5 or .keras")
    parser.add_argument("onnx", type=Path, metavar="ONNX", help="the file to write")
    parser.add_argument("--every", type=int, metavar="BP", help="lay windows so far apart")
    options = parser.parse_args()
    convert(options.weights, options.onnx, options.every)


if __name__ == "__main__":
    main()
