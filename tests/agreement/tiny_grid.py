"""A stand-in for tinycudann that runs on any device: the grid as tiny-cuda-nn documents it.

Written down anew from its documentation and the instant-ngp paper (equation 4 and appendix A), and
in the precision of its input, so that it is also the oracle for the real one.
"""

import math
from types import SimpleNamespace

import torch
from torch import nn

PRIMES = (1, 2654435761)


def levels_of(encoding):
    """Scale, points along a side, entries and first entry of each level's table."""
    made, first = [], 0
    for k in range(encoding["n_levels"]):
        scale = encoding["base_resolution"] * encoding["per_level_scale"] ** k - 1
        # As kernels see it, whose last bit a whole number must survive
        side = math.ceil(round(scale, 4)) + 1
        entries = min(math.ceil(side**2 / 8) * 8, 2 ** encoding["log2_hashmap_size"])
        made.append((scale, side, entries, first))
        first += entries
    return made, first


def read(params, x, encoding):
    """Features ``[N, levels * features]`` of positions in [0, 1]."""
    levels, entries = levels_of(encoding)
    table = params.view(entries, encoding["n_features_per_level"])
    columns = []
    for scale, side, size, first in levels:
        place = x * scale + 0.5
        cell = place.detach().floor()
        share, cell = place - cell, cell.long()
        total = 0
        for du, dv in ((0, 0), (1, 0), (0, 1), (1, 1)):
            u, v = cell[:, 0] + du, cell[:, 1] + dv
            index = u + v * side if side**2 <= size else (u * PRIMES[0]) ^ (v * PRIMES[1])
            weight = (share[:, 0] if du else 1 - share[:, 0]) * (
                share[:, 1] if dv else 1 - share[:, 1]
            )
            total = total + weight[:, None] * table[first + index % size]
        columns.append(total)
    return torch.cat(columns, dim=1)


class Encoding(nn.Module):
    """``tinycudann.Encoding`` for a linear ``HashGrid`` in two dimensions."""

    def __init__(self, n_input_dims, encoding_config, seed=1337, dtype=None):
        super().__init__()
        assert n_input_dims == 2
        assert dtype == torch.float32, "with None it would be half precision"
        assert (encoding_config["otype"], encoding_config["interpolation"]) == (
            "HashGrid",
            "Linear",
        )
        assert encoding_config["n_features_per_level"] in (1, 2, 4, 8)
        self.encoding_config = encoding_config
        _, entries = levels_of(encoding_config)
        generator = torch.Generator().manual_seed(seed)
        size = entries * encoding_config["n_features_per_level"]
        self.params = nn.Parameter((torch.rand(size, generator=generator) * 2 - 1) * 1e-4)
        self.n_output_dims = encoding_config["n_levels"] * encoding_config["n_features_per_level"]

    def forward(self, x):
        """Positions ``[N, 2]`` in [0, 1]; the real one pads their number to 256 and cuts again."""
        assert x.ndim == 2
        assert x.shape[1] == 2
        return read(self.params, x, self.encoding_config)


tinycudann = SimpleNamespace(Encoding=Encoding)
