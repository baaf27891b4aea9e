"""What runs here: `tfbind --version`."""

import platform

import typer

LIBRARIES = ("numpy", "pyarrow", "pysam", "pyBigWig", "lightmotif")


def show_versions(asked: bool) -> None:
    """Print the versions of tfbind and of what its results depend on."""
    if not asked:
        return
    from importlib.metadata import version

    import onnxruntime

    import tfbind

    for name, said in (
        ("tfbind", tfbind.__version__),
        ("python", platform.python_version()),
        *((name, version(name)) for name in LIBRARIES),
        ("onnxruntime", onnxruntime.__version__),
        ("providers", ", ".join(onnxruntime.get_available_providers())),
    ):
        print(f"{name} {said}")
    raise typer.Exit
