"""Transcription-factor binding tracks for whole genomes: arrays in, arrays out."""

import os

__version__ = "0.1.0"

# ONNX Runtime would keep a database about this machine in the home folder, to be sent to its
# makers; it reads this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
