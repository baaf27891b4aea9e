"""The grid of bins over a genome."""
