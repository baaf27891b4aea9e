# Into the environment that Snakemake made: tfbind from its source, by default the checkout around
# this study, seen from the folder in which snakemake runs.
python -m pip install "${TFBIND_SOURCE:-../..}[train]"
