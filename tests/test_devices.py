"""Training on several devices, between which Keras parts each batch, and how they are named."""

import subprocess
import sys

import pytest
from conftest import Trained, environment

from tfbind.cli.keras_backend import device_names
from tfbind.errors import RequestError

TWO_DEVICES = """
import sys
import numpy as np
from tfbind.cli.keras_backend import load_keras
load_keras("cpu,cpu", 1)
import keras
from tfbind.networks import shallow
from tfbind.tilefiles import TileFile
from tfbind.tilesets import TileSet
from tfbind.training import Settings, fit
from tfbind.trained import fitted
file = TileFile(sys.argv[1])
place = np.arange(len(file))
chosen = place < 60, (place >= 100) & (place < 161)
training, validation = (TileSet([file], [one]) for one in chosen)
inputs = fitted(file.contents.inputs, training, {})
keras.utils.set_random_seed(1)
model = shallow(inputs, file.contents.geometry, filters=2, joint=4, dense=2)
# A step of an odd number of pieces is filled up.
history = fit(model, inputs, training, validation, Settings(epochs=2, batch=8 * 7))
print(keras.backend.backend(), keras.distribution.distribution().num_model_replicas)
print(*(one.loss for one in history.epochs))
print(*(one.bins_per_second > 0 for one in history.epochs))
"""


@pytest.mark.parametrize(
    "names", ["cuda:0,cuda:0", "cuda:1,cuda:01", "cuda:1,cuda", "cpu,cuda:0", "auto,auto", "gpu"]
)
def test_odd_lists_of_devices_are_refused(names: str) -> None:
    with pytest.raises(RequestError, match=f"found --device {names}"):
        device_names(names)
    assert device_names("cuda:1,cuda:0") == ["cuda:1", "cuda:0"]
    assert device_names("cpu,cpu") == ["cpu", "cpu"]


def test_training_on_two_devices_learns(trained: Trained) -> None:
    pytest.importorskip("jax", reason="several devices need JAX: pip install jax")
    two = {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(trained.tiles)],
        env=environment(two),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    backend, losses, speeds = done.stdout.splitlines()
    assert backend == "jax 2"
    assert all(0 < float(loss) < 10 for loss in losses.split())
    assert speeds == "True True"
