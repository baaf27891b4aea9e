#!/usr/bin/env bash
# From a genome, DNase and CTCF peaks of two cell types to a binding track, on real data.
# Learns in HeLa-S3 on chrX below 50 Mb; scores K562, which it never saw, and measures on chrX:50-54 Mb.
#   examples/demo.sh [FOLDER]     writes into FOLDER (default: demo)
set -euo pipefail

data=$(cd "$(dirname "$0")/data" && pwd)
out=${1:-demo}
mkdir -p "$out"
cd "$out"
export TFBIND_FASTA=$data/hg19.chrX_cut.fa.gz

step() { printf '\n\033[1m%s\033[0m\n' "$1" >&2; }

step "1/5 Bins of chrX below 50 Mb, labelled by CTCF ChIP-seq in HeLa-S3, into tiles"
# Below 38 Mb the example genome has only the bases around peaks: pass over the rest.
{
  tfbind bin --region chrX:1-38000000 --skip-n 0
  tfbind bin --region chrX:38000001-50000000
} |
  tfbind label --conservative "$data/HeLa-S3.CTCF.conservative.narrowPeak.gz" \
    --relaxed "$data/HeLa-S3.CTCF.relaxed.narrowPeak.gz" |
  tfbind sample --accessible "$data/HeLa-S3.dnase.narrowPeak.gz" --background 50000 --seed 1 |
  tfbind features --signal dnase="$data/HeLa-S3.dnase.bw" --cell HeLa-S3 --force -o hela.tiles

step "2/5 Train the network; the best epoch is chosen on chrX:44-47 Mb"
tfbind train hela.tiles --arch shallow --validate chrX:44000001-47000000 --epochs 30 --seed 1 \
  --force -o ctcf.keras

step "3/5 Export to ONNX"
tfbind export ctcf.keras --both-strands --force -o ctcf.onnx

step "4/5 Score chrX:38-54 Mb in K562: a bedGraph and a bigWig"
export TFBIND_SIGNAL=dnase=$data/K562.dnase.bw
tfbind bin --region chrX:38000001-54000000 | tfbind score ctcf.onnx > preds.bedGraph
tfbind bin --region chrX:38000001-54000000 |
  tfbind score ctcf.onnx --format bigwig --force -o preds.bw

step "5/5 Compare with CTCF ChIP-seq in K562 on chrX:50-54 Mb"
tfbind bin --region chrX:50000001-54000000 |
  tfbind label --conservative "$data/K562.CTCF.conservative.narrowPeak.gz" \
    --relaxed "$data/K562.CTCF.relaxed.narrowPeak.gz" --force -o k562.labels.bed
tfbind bin --region chrX:50000001-54000000 |
  tfbind score ctcf.onnx --format bed |
  tfbind evaluate --labels k562.labels.bed --plot evaluation.png --force

printf '\nLook in %s: ctcf.onnx, preds.bedGraph, preds.bw, evaluation.png\n' "$PWD" >&2
