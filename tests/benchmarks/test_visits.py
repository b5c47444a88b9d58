"""Visits of two eyes, some of them unusable."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from napari_voxreg import register_cohort
from visits import EYES, errors, visits


@pytest.mark.slow
@pytest.mark.parametrize("eye", EYES)
def test_unusable_visits_are_found_and_the_others_aligned(tmp_path, eye):
    known = visits(tmp_path, 12, 200)[eye]
    pattern = rf"(?P<id>P\d+)_(?P<laterality>{eye})_(?P<date>[\d-]+)"
    result = register_cohort(tmp_path, options={"template": "best", "deform": "none"}, pattern=pattern)
    assert [bool(member.problem) for member in result.members] == [bool(problem) for _, problem in known]
    wrong = errors(result, [way for way, _ in known], result.template.grid)
    assert max(error for error, (_, problem) in zip(wrong, known, strict=True) if not problem) < 1
