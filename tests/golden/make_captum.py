"""Make captum.npz: what captum's DeepLIFT, in PyTorch, says of small networks and real windows.

Needs torch and captum, which the tests do not: python tests/golden/make_captum.py CHRX.fa.gz

Both networks are such that captum keeps the sum: one with a rectifier before its pool, and a
reference that is the same at every base; one without a pool, and other bases as reference. With a
pool and other bases captum was off by 0.50; with the pool before the rectifier by 0.33.
"""

import sys
from pathlib import Path

import numpy as np
import pysam
import torch
from captum.attr import DeepLift
from torch import nn

WIDTH, FILTERS, KERNEL, POOL, DENSE, ROWS = 200, 6, 8, 4, 8, 12
FIRST, APART = 48_000_000, 40_000
"""The first window, and from one to the next: unique sequence of chromosome X of hg19."""

BACKGROUND = (0.3, 0.2, 0.2, 0.3)


class Net(nn.Module):  # type: ignore[misc]
    """A convolution, a rectifier, a max-pool if it is wider than 1, two dense layers."""

    def __init__(self, pool: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, FILTERS, KERNEL)
        self.first, self.second = nn.ReLU(), nn.ReLU()
        self.pool = nn.MaxPool1d(pool) if pool > 1 else nn.Identity()
        self.hidden = nn.Linear((WIDTH - KERNEL + 1) // pool * FILTERS, DENSE)
        self.last = nn.Linear(DENSE, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Give the output of one-hot rows, shape (batch, 4, bases)."""
        pooled = self.pool(self.first(self.convolution(rows)))
        flat = pooled.transpose(1, 2).flatten(1)  # row after row, as Keras flattens
        return self.last(self.second(self.hidden(flat)))


def main(fasta: str) -> None:
    """Write the windows, the weights and captum's contributions."""
    torch.manual_seed(1)
    with pysam.FastaFile(fasta) as genome:
        text = [
            genome.fetch("chrX", FIRST + i * APART, FIRST + i * APART + WIDTH).upper()
            for i in range(ROWS)
        ]
    codes = np.array([["ACGTN".index(base) for base in one] for one in text], np.uint8)
    random = np.random.default_rng(1)
    shuffled = random.permuted(codes, axis=1)
    rows, other = (
        torch.eye(5)[:, :4][torch.tensor(one).long()].transpose(1, 2) for one in (codes, shuffled)
    )
    flat = torch.tensor(BACKGROUND)[None, :, None].expand_as(rows)
    found = {}
    for name, pool, reference in (("background", POOL, flat), ("other", 1, other)):
        net = Net(pool).eval()
        with torch.no_grad():
            for weight in net.parameters():
                weight.mul_(2)
        given, error = DeepLift(net).attribute(
            rows, reference.clone(), return_convergence_delta=True
        )
        found[f"{name}.contributions"] = given.detach().sum(1).numpy()
        found |= {f"{name}.{one}": w.detach().numpy() for one, w in net.named_parameters()}
        print(name, "captum conserves to", float(error.abs().max()))
    path = Path(__file__).parent / "captum.npz"
    np.savez_compressed(path, codes=codes, shuffled=shuffled, **found)
    print(path, path.stat().st_size, "bytes; torch", torch.__version__)


if __name__ == "__main__":
    main(sys.argv[1])
