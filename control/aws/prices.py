"""Prices: what an hour of a machine costs on demand, from a dated table beside this file.

The table is a help to decide, not an offer: AWS's own page counts. A type is in it for a use when
AWS offers it for that use (its own API's lists) and figures that others read from AWS's price list
agree, the newest of them read from its offer file on 2026-09-27; p4d and p5 have the prices after
AWS lowered them. ml.g6e and ml.inf2 are rounded to cents, as they were found. SageMaker asks the
same for training, endpoints and batches on one type. Not in it: what no figure was found for.
"""

import csv
from functools import cache
from pathlib import Path
from typing import Literal

DATED = "2026-09"
TABLE = Path(__file__).parent / "prices.csv"  # instance_type, use, usd_per_hour
Use = Literal["training", "hosting", "transform", "ec2"]
# These have a price for who brings an image for them; ours do not run there, or not on the GPU.
OTHER_CHIPS = ("ml.inf2.", "ml.p3.", "p3.")


def price_per_hour(instance_type: str, use: Use) -> float | None:
    """US dollars an hour in us-east-1, or None for a type that the table does not know."""
    return _table().get((instance_type, use))


def known_types(use: Use) -> tuple[str, ...]:
    """The types that have a price and that our images run on, cheapest first."""
    found = [
        (price, name)
        for (name, one), price in _table().items()
        if one == use and not name.startswith(OTHER_CHIPS)
    ]
    return tuple(name for _, name in sorted(found))


@cache
def _table() -> dict[tuple[str, str], float]:
    with TABLE.open(newline="", encoding="utf-8") as lines:
        return {
            (row["instance_type"], row["use"]): float(row["usd_per_hour"])
            for row in csv.DictReader(lines)
        }
