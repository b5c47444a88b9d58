"""What the tables of the page say of numbers."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tables import against, summary


def cell(seconds: float, **after: float) -> dict:
    return {"after": after, "before": {"error": 9.0}, "limit": 5.0, "seconds": seconds}


def test_a_method_is_compared_with_the_best_other_on_each_pair():
    results = {
        ("eyes", "auto"): cell(2, error=2.0),
        ("eyes", "elastix"): cell(1, error=8.0),
        ("eyes", "SyN"): cell(3, error=4.0),
        ("eyes", "auto, fast"): cell(1, error=1.0),
        ("heads", "auto"): cell(2, dice=0.7),
        ("heads", "elastix"): cell(1, dice=0.75),
        ("heads", "SyN"): {"failed": "no overlap"},
        ("alone", "auto"): cell(2, error=1.0),
    }
    methods = ("elastix", "SyN", "auto, fast", "auto")
    lines = against(results, ("eyes", "heads", "alone"), "auto", methods).splitlines()[2:]
    assert lines == [
        "| eyes | **2.00** | SyN | **4.00** | +1.00 | 2.0 | 3.0 |",
        "| heads | 0.700 (Dice) | elastix | 0.750 (Dice) | -0.05 | 2.0 | 1.0 |",
    ]


def test_the_summary_states_the_time_beside_that_of_elastix():
    rest = {"folds": 0.0, "peak": 100.0, "loaded": 50.0}
    results = {
        ("eyes", "auto"): cell(3, error=2.0) | rest,
        ("eyes", "elastix"): cell(2, error=8.0) | rest,
        ("brains", "auto"): cell(1, error=7.0) | rest,
        ("brains", "elastix"): cell(4, error=10.0) | rest,
        ("heads", "auto"): {"failed": "no overlap"},
    }
    lines = summary(results, ("eyes", "brains", "heads"), ("elastix", "auto")).splitlines()[2:]
    assert lines == [
        "| elastix | 0 of 2 | 1 | 0 | 3.0 | 1.00, 1.00 at most | 100 | 50 |",
        "| auto | 1 of 3 | 0 | 0 | 2.0 | 0.88, 1.50 at most | 100 | 50 |",
    ]
