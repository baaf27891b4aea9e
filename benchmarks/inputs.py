"""What more inputs cost: the pipe with several models, each beside the first, in turn.

python benchmarks/inputs.py plain.onnx shape.onnx all.onnx --fasta FASTA --signal dnase=BIGWIG

From FASTA and bigWig to bedGraph, `tfbind bin | tfbind score` in a shell, the starts of both
programs included; and the network alone, one call after the other on one core, without reading.
"""

import argparse
import os
import subprocess
import sys
import time

from tfbind.model import Model

CALLS = 40


def pipe(options: argparse.Namespace, model: str) -> float:
    """Score the region through the program's own pipe; bins/s."""
    tfbind = f"{sys.executable} -P -m tfbind"
    named = f"--cell {options.cell}" if options.cell else ""
    line = (
        f"{tfbind} bin {options.fasta} --region {options.region} | {tfbind} score {model} "
        f"--fasta {options.fasta} --signal {options.signal} {named} --device cpu --quiet"
    )
    began = time.perf_counter()
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True, capture_output=True)
    return (done.stdout.count(b"\n") - 1) / (time.perf_counter() - began)


def alone(path: str) -> float:
    """Compute chunks of blank genome on one core; bins/s of processor time."""
    model = Model(path, device="cpu")
    model.warm_up()
    began = time.process_time()
    for _ in range(CALLS):
        model.warm_up()
    return CALLS * model.chunk / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("onnx", nargs="+", help="models, all scored with the same files")
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--signal", required=True, help="NAME=BIGWIG")
    parser.add_argument("--cell", help="the cell type, if a model wants its expression")
    parser.add_argument("--region", default="chrX", help="what is scored")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    os.environ.pop("TFBIND_SIGNAL", None)

    pipes = dict.fromkeys(options.onnx, 0.0)
    networks = dict(pipes)
    for _ in range(options.rounds):  # in turn, so that all meet the same machine
        for model in options.onnx:
            pipes[model] = max(pipes[model], pipe(options, model))
            networks[model] = max(networks[model], alone(model))
    print("| model | pipe, bins/s | of the first | network alone, bins/s and core | of the first |")
    print("|---|---:|---:|---:|---:|")
    first = options.onnx[0]
    for model in options.onnx:
        names = "+".join(spec.name for spec in Model(model, device="cpu").contract.inputs)
        shares = (pipes[model] / pipes[first], networks[model] / networks[first])
        print(
            f"| {names} | {pipes[model]:,.0f} | {shares[0]:.0%} "
            f"| {networks[model]:,.0f} | {shares[1]:.0%} |"
        )
    print(f"\nthe best of {options.rounds} rounds; processors: {os.cpu_count()}")


if __name__ == "__main__":
    main()
