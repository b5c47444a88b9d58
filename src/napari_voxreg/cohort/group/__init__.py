"""Cohorts: many images onto one template, which may be made from them.

``docs/cohorts.md`` explains the choices.
"""

from .options import MADE, CohortOptions
from .register import register_cohort
from .result import CohortResult, Member
from .sources import cohort_frames

__all__ = ["MADE", "CohortOptions", "CohortResult", "Member", "cohort_frames", "register_cohort"]
