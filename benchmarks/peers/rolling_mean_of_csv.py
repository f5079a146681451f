"""The least that a person would write: amounts above 5 x the mean of a user's last 20, in floats.

With `--parse` the file is only taken apart.
"""

import csv
import sys
from collections import defaultdict, deque

MINIMUM = 10


def flags(path: str) -> int:
    """How many amounts are flagged, from ten before them on."""
    last: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=20))
    flagged = 0
    with open(path, newline="") as file:  # noqa: PTH123 - the least
        for row in csv.DictReader(file):
            window, amount = last[row["user_id"]], float(row["amount"])
            if len(window) >= MINIMUM and amount > 5 * sum(window) / len(window):
                flagged += 1
            window.append(amount)
    return flagged


def rows(path: str) -> int:
    """How many rows there are."""
    with open(path, newline="") as file:  # noqa: PTH123 - the least
        return sum(1 for _ in csv.reader(file)) - 1


if __name__ == "__main__":
    print(rows(sys.argv[2]) if sys.argv[1] == "--parse" else flags(sys.argv[1]))  # noqa: T201
