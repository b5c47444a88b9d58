"""What the tables of the page say of numbers."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tables import against


def cell(seconds: float, **after: float) -> dict:
    return {"after": after, "limit": 5.0, "seconds": seconds}


def test_a_method_is_compared_with_the_best_other_on_each_pair():
    results = {
        ("eyes", "auto"): cell(2, error=2.0),
        ("eyes", "elastix"): cell(1, error=8.0),
        ("eyes", "SyN"): cell(3, error=4.0),
        ("heads", "auto"): cell(2, dice=0.7),
        ("heads", "elastix"): cell(1, dice=0.75),
        ("heads", "SyN"): {"failed": "no overlap"},
        ("alone", "auto"): cell(2, error=1.0),
    }
    lines = against(results, ("eyes", "heads", "alone"), "auto", ("elastix", "SyN", "auto")).splitlines()[2:]
    assert lines == [
        "| eyes | **2.00** | SyN | **4.00** | +1.00 | 2.0 | 3.0 |",
        "| heads | 0.700 (Dice) | elastix | 0.750 (Dice) | -0.05 | 2.0 | 1.0 |",
    ]
