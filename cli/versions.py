"""What runs here: `tfbind --version`."""

import platform

import typer


def show_versions(asked: bool) -> None:
    """Print the versions of tfbind and of what its results depend on."""
    if not asked:
        return
    import numpy
    import onnxruntime
    import pyarrow
    import pyBigWig
    import pysam

    import tfbind

    for name, version in (
        ("tfbind", tfbind.__version__),
        ("python", platform.python_version()),
        ("numpy", numpy.__version__),
        ("pyarrow", pyarrow.__version__),
        ("pysam", pysam.__version__),
        ("pyBigWig", pyBigWig.__version__),
        ("onnxruntime", onnxruntime.__version__),
        ("providers", ", ".join(onnxruntime.get_available_providers())),
    ):
        print(f"{name} {version}")
    raise typer.Exit
