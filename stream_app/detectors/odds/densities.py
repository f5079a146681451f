"""Makes `densities.bin` of the model: `python -m stream_app.detectors.odds.densities >FILE`.

The file is shipped rather than computed at load, as exp and log differ by a last bit between machines, and a
verdict must not. It holds log densities of x, an amount divided by the mean that is expected of its user, in
1/512 nat: row after row of CELLS values for x = (cell + 1/2) / 64, first the ROWS rows of users whose mean is
shrunk to the population's, by how many amounts have taught, then the OWN rows of users of whom nothing but 1
to OWN own amounts is known.

An ordinary amount is taken as normal around the user's mean, with a deviation of half of it and never
negative. The mean itself is known to a relative deviation of 1/2 / sqrt(n + 1), as if the population's mean
had been one amount more.
"""

import sys
from array import array
from itertools import pairwise
from math import erfc, exp, log, pi, sqrt
from zlib import compress

NAT = 512
"""Units of a natural logarithm."""
STEPS = 64
"""Cells of x from one whole number to the next."""
CELLS = 20 * STEPS + 1
ROWS = 65
OWN = 12

_SPREAD = 0.5
_LOWEST = -64.0  # nats: what a cell of 16 bits holds, and far beyond any odds that matter
_NODES = 160
_Weights = list[tuple[float, float]]


def shrunk(taught: int) -> _Weights:
    """What the user's mean may be, in multiples of what is expected, and how likely each is."""
    deviation = _SPREAD / sqrt(taught + 1)
    nodes = [10 * node / _NODES - 5 for node in range(_NODES + 1)]
    return [(mean, exp(-z * z / 2)) for z in nodes if (mean := 1 + deviation * z) > 0.02]  # noqa: PLR2004 - a mean is above 0


def own(taught: int) -> _Weights:
    """The same where any mean was as likely as any other before the user's own amounts."""
    deviation = _SPREAD / sqrt(taught)
    means = [exp(deviation * (12 * node / _NODES - 6)) for node in range(_NODES + 1)]
    return [(mean, exp(-(((1 / mean - 1) / deviation) ** 2) / 2)) for mean in means]


def row(weights: _Weights) -> list[int]:
    """The log densities of a row's cells."""
    whole = sum(weight for _, weight in weights)
    kept = [(mean, weight / mean / whole) for mean, weight in weights]
    return [_unit(sum(_ordinary(x / mean) * weight for mean, weight in kept)) for x in _middles()]


def _middles() -> list[float]:
    return [(cell + 0.5) / STEPS for cell in range(CELLS)]


def _ordinary(x: float) -> float:
    positive = 1 - erfc(1 / _SPREAD / sqrt(2)) / 2
    return exp(-(((x - 1) / _SPREAD) ** 2) / 2) / (_SPREAD * sqrt(2 * pi) * positive)


def _unit(density: float) -> int:
    return round(NAT * max(log(density), _LOWEST)) if density else round(NAT * _LOWEST)


def _main() -> None:
    rows = [row(shrunk(taught)) for taught in range(ROWS)] + [
        row(own(taught)) for taught in range(1, OWN + 1)
    ]
    # A cell differs little from its neighbour, so that differences pack into a quarter.
    packed = array("i", [cell - before for one in rows for before, cell in pairwise([0, *one])])
    if sys.byteorder == "big":
        packed.byteswap()
    sys.stdout.buffer.write(compress(packed.tobytes(), 9))


if __name__ == "__main__":
    _main()
