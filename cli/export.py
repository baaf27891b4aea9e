"""`tfbind export`."""

from typing import Annotated

import typer

from .keras_backend import load_keras
from .options import Force, Quiet
from .progress import say
from .streams import refuse_existing, writing


def export(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="A .keras file of train.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write the .onnx file here.")
    ],
    both_strands: Annotated[
        bool,
        typer.Option(
            "--both-strands", help="Average over both strands, inside the graph; half as fast."
        ),
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Turn a trained network into one ONNX file that scores without TensorFlow.

    The file carries its contract: window, stride, inputs and their transforms, tasks, what it was
    trained on. Before it is written, ONNX and Keras are compared on tiles that train kept, scanned
    and in windows; a difference over 1e-5 is an error.

    For example:

        tfbind export ctcf.keras --both-strands -o ctcf.onnx
    """
    refuse_existing(output, force=force)
    load_keras()
    from tfbind.export import export as to_onnx
    from tfbind.networks.files import load_network

    model, difference = to_onnx(load_network(network), both_strands=both_strands)
    with writing(output, force=force) as stream:
        stream.write(model.SerializeToString())
    say(
        f"{output}: Keras and ONNX differ by at most {difference:.1e}, scanned and in windows",
        quiet=quiet,
    )
