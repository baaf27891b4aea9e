"""Load Keras quietly, or say how to install it."""

import importlib
import importlib.util
import os
import shutil
import sys
import tempfile

from tfbind.errors import InputError


def load_keras() -> None:
    """Import Keras and its backend without their banners.

    Raises
    ------
    InputError
        If they are not installed.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for module in ("keras", "tf2onnx", backend):
        if importlib.util.find_spec(module) is None:
            raise InputError(f"training and export need {module}; run: pip install 'tfbind[train]'")
    _import_silently(backend)
    importlib.import_module("keras")


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
