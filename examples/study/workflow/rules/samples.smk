# What the table of samples says: which cells teach a factor, which are predicted, from what files.
import csv
import re
import shlex

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger


def read_samples(path):
    """Read a row for each cell and factor; a row without peaks is predicted, not learnt from."""
    samples = {}
    with open(path, newline="") as file:
        for number, row in enumerate(csv.DictReader(file, delimiter="\t"), 2):
            row = {name: value or "" for name, value in row.items() if name}
            try:
                validate(row, "../schemas/sample.schema.yaml")
            except WorkflowError as error:
                raise WorkflowError(f"{path}: line {number}", error) from None
            key = row["cell"], row["factor"]
            if key in samples:
                raise WorkflowError(
                    f"{path}: line {number}: found {key} again, expected it once"
                )
            samples[key] = row
    return samples


def any_of(names):
    return "|".join(sorted(map(re.escape, set(names))))


def training_cells(factor, left_out):
    """List the cells that teach a factor to the network which the cell left out is predicted by."""
    return [
        cell
        for (cell, taught), sample in SAMPLES.items()
        if taught == factor
        and sample["conservative"]
        and cell != left_out
        and (not config["learn_in"] or cell in config["learn_in"])
    ]


def sample_of(wildcards):
    return SAMPLES[wildcards.cell, wildcards.factor]


def model_for(wildcards):
    """Name the model of the network that the cell had no part in."""
    taught_by_it = wildcards.cell in training_cells(wildcards.factor, None)
    left_out = wildcards.cell if taught_by_it else "none"
    return f"results/models/{wildcards.factor}/without-{left_out}.onnx"


def signals_of(wildcards):
    """Give the files of one sample's signals by name, from NAME=FILE,NAME=FILE."""
    pairs = sample_of(wildcards)["signal"].split(",")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def option(name, value):
    """Write an option for the shell, or nothing where it has no value."""
    return f"{name} {shlex.quote(str(value))}" if value else ""


def signal_options(wildcards):
    signals = signals_of(wildcards).items()
    return " ".join(option("--signal", f"{name}={path}") for name, path in signals)


def experiment_option(wildcards):
    """Name the peaks of `tfbind label` after the factor, which becomes the model's task."""
    sample = sample_of(wildcards)
    peaks = [path for path in (sample["conservative"], sample["relaxed"]) if path]
    return option("--experiment", f"{sample['factor']}={','.join(peaks)}")


def bin_options(part):
    """Write the options of `tfbind bin` for a part of the genome; no region is all of it."""
    regions = " ".join(option("--region", region) for region in REGIONS[part])
    return f"{regions} {option('--exclude', config['exclude'])}".strip()


SAMPLES = read_samples(config["samples"])
REGIONS = config["regions"]
WANTED = [
    key for key in SAMPLES if not config["targets"] or key[0] in config["targets"]
]
TARGETS = [(cell, factor) for cell, factor in WANTED if training_cells(factor, cell)]
MEASURED = [key for key in TARGETS if SAMPLES[key]["conservative"]]
for cell, factor in WANTED:
    if (cell, factor) not in TARGETS:
        logger.warning(
            f"{factor} in {cell} is not predicted: no other cell has peaks to learn from"
        )
if not MEASURED:
    raise WorkflowError(
        f"{config['samples']}: nothing to measure: expected a factor with peaks in two cells or more"
    )
