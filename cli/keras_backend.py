"""Load Keras quietly, or say how to install it."""

import importlib
import importlib.util
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress

from tfbind.errors import InputError, RequestError, three


def load_keras(device: str = "auto", threads: int | None = None) -> None:
    """Import Keras and its backend without their banners.

    Parameters
    ----------
    device : str
        Compute there: auto, cpu or cuda:N, or several, between which Keras parts each batch.
    threads : int, optional
        Of TensorFlow, which with as many of them gives the same numbers each time on a processor.

    Raises
    ------
    InputError
        If they are not installed.
    RequestError
        If there is no such device.
    """
    names = device_names(device)
    # Keras parts batches between devices on JAX alone.
    backend = os.environ.setdefault("KERAS_BACKEND", "jax" if len(names) > 1 else "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for module in ("keras", "tf2onnx", backend):
        if importlib.util.find_spec(module) is None:
            raise InputError(_lack(module))
    # Keras reads files with TensorFlow, if there is one, whatever the backend.
    for module in dict.fromkeys((backend, "tensorflow")):
        if importlib.util.find_spec(module) is not None:
            _import_silently(module)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # no advice on our code to users
    importlib.import_module("keras")
    if backend == "tensorflow":
        _settle(names, threads)
    elif names != ["auto"]:
        _part_batches(names)


def _lack(module: str) -> str:
    if module == "jax":
        return "training on several devices needs JAX; run: pip install 'jax[cuda12]'"
    return f"training and export need {module}; run: pip install 'tfbind[train]'"


def device_names(device: str) -> list[str]:
    """Part a list of devices by its commas, and check that they differ and are of one kind."""
    names = device.split(",")
    kinds = {name.partition(":")[0] for name in names}
    known = all(re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) for name in names)
    if not known or len(kinds) > 1 or (len(names) > 1 and "auto" in kinds):
        raise RequestError(
            f"found --device {device}, expected auto, cpu, or cuda:N, or several of one kind "
            "such as cuda:0,cuda:1"
        )
    places = [_number(name, place) for place, name in enumerate(names)]
    if len(set(places)) < len(places):
        raise RequestError(f"found --device {device}, which names a device twice")
    return names


def _number(name: str, place: int) -> int:
    """Give a device's number: the one in its name, or its place in the list."""
    return int(name.partition(":")[2] or place)


def _settle(names: list[str], threads: int | None) -> None:
    """Choose TensorFlow's device and threads; on a processor the same seed gives the same bits."""
    from tensorflow import config

    if len(names) > 1:
        raise RequestError(
            "Keras trains on several devices with JAX alone; run: pip install 'jax[cuda12]', and "
            "set KERAS_BACKEND=jax"
        )
    if threads is not None:
        # A program that has computed already, and calls the command, has its threads.
        with suppress(RuntimeError):
            config.threading.set_intra_op_parallelism_threads(threads)
            config.threading.set_inter_op_parallelism_threads(threads)
    kind, _, number = names[0].partition(":")
    gpus = [] if kind == "cpu" else config.list_physical_devices("GPU")
    if kind == "cuda":
        index = int(number or 0)
        if index >= len(gpus):
            raise RequestError(f"found --device {names[0]}, but TensorFlow sees {_count(gpus)}")
        gpus = gpus[index : index + 1]
    config.set_visible_devices(gpus, "GPU")
    if not gpus and threads is not None:
        config.experimental.enable_op_determinism()


def _part_batches(names: list[str]) -> None:
    """Let Keras part each batch between devices of JAX."""
    from keras import distribution

    kind = "gpu" if names[0].startswith("cuda") else "cpu"
    wanted = [f"{kind}:{_number(name, place)}" for place, name in enumerate(names)]
    try:
        found = distribution.list_devices(kind)
    except RuntimeError:  # JAX has no such platform
        found = []
    for name, one in zip(names, wanted, strict=True):
        if one not in found:
            raise RequestError(
                f"found --device {name}, but JAX sees {_count(found)}: {three(found)}"
            )
    distribution.set_distribution(
        distribution.DataParallel(devices=wanted, auto_shard_dataset=False)
    )


def _count(devices: Sequence[object]) -> str:
    return f"{len(devices) or 'no'} device{'s' * (len(devices) != 1)} of this kind"


def _import_silently(module: str) -> None:
    """Import a module whose C++ part writes on standard error whatever it is told.

    What it wrote is shown only if the import fails.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            importlib.import_module(module)
        except BaseException:
            kept.seek(0)
            with open(terminal, "wb", closefd=False) as stream:
                shutil.copyfileobj(kept, stream)
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
