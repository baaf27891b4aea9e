"""Networks in files: Keras' own format, with the contract and tiles to check by inside."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras

import tfbind.networks.layers  # noqa: F401  (registers the layers that a file names)
from tfbind.contract import IN_KERAS, Contract
from tfbind.errors import InputError

TILES = "tfbind/check.tiles"


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes
    ----------
    model : keras.Model
    contract : Contract
    tiles : bytes
        A few validation tiles, as `tilefiles.write_tiles` writes them.
    """

    model: keras.Model
    contract: Contract
    tiles: bytes


def save_network(network: Network, path: str | Path) -> None:
    """Write a `.keras` file; Keras reads it too, and passes over what is ours."""
    network.model.save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(IN_KERAS, network.contract.to_json())
        archive.writestr(TILES, network.tiles)


def load_network(path: str | Path) -> Network:
    """Read a `.keras` file that `save_network` wrote.

    Raises
    ------
    InputError
        If it cannot be read, or has no contract.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            contract = archive.read(IN_KERAS) if IN_KERAS in names else None
            tiles = archive.read(TILES) if TILES in names else b""
        made = Contract.from_json(contract, path)
        return Network(keras.saving.load_model(path, compile=False), made, tiles)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error
    except (zipfile.BadZipFile, ValueError, TypeError) as error:
        raise InputError("is no .keras file, or is damaged; train writes one", path=path) from error
