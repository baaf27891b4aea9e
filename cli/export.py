"""`tfbind export`."""

from typing import Annotated

import typer

from tfbind.errors import InputError

from .keras_backend import load_keras
from .models import ModelOutput
from .options import Force, Quiet
from .progress import say
from .streams import refuse_existing, writing


def export(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="A .keras file of train.")],
    output: ModelOutput,
    both_strands: Annotated[
        bool,
        typer.Option(
            "--both-strands", help="Average over both strands, inside the graph; half as fast."
        ),
    ] = False,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Compute in float16, for GPUs (processors are slower with it), and say how far "
            "that is from Keras.",
        ),
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Turn a trained network into one ONNX file that scores without TensorFlow.

    The file carries its contract: window, stride, inputs and their transforms, tasks, what it was
    trained on. Before it is written, ONNX and Keras are compared on tiles that train kept, in
    windows and, if the network scans, scanned; a difference over 1e-5 is an error.

    With --half inputs and scores are float32 still, but all layers other than the last compute in
    float16. They are compared as a GPU rounds; a difference over 1e-2 is an error. The contract
    holds the difference, which is of the few bins that were compared: the largest over a whole
    genome is some times that.

    For example:

        tfbind export ctcf.keras --both-strands -o ctcf.onnx
    """
    refuse_existing(output, force=force)
    load_keras()
    from tfbind.export import export as to_onnx
    from tfbind.networks.files import load_network

    trained = load_network(network)
    if both_strands and trained.contract.stranded:
        raise InputError(
            "reads the strand of its bins, so that --both-strands has no meaning: leave it out",
            path=network,
        )
    model, difference = to_onnx(trained, both_strands=both_strands)
    ways = "scanned and in windows" if trained.contract.scans else "in windows"
    told = f"Keras and ONNX differ by at most {difference:.1e}, {ways}"
    if half:
        from tfbind.half import to_half

        model, difference, bins = to_half(model, trained)
        told = (
            f"half precision: largest difference from Keras {difference:.1e} on {bins} "
            f"validation bins, {ways}"
        )
    with writing(output, force=force) as stream:
        stream.write(model.SerializeToString())
    say(f"{output}: {told}", quiet=quiet)
