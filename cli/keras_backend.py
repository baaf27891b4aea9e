"""Load Keras quietly, or say how to install it."""

import importlib.util
import os

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
    for module in ("keras", "tf2onnx" if backend == "tensorflow" else backend, backend):
        if importlib.util.find_spec(module) is None:
            raise InputError(f"training and export need {module}; run: pip install 'tfbind[train]'")
    import keras  # noqa: F401
