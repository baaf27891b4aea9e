"""Transcription-factor binding tracks for whole genomes: arrays in, arrays out."""

__version__ = "0.1.0"
