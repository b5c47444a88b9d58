"""Many images at once: clusters of a set of pairs, and one model for each against one for all.

`survey` finds the clusters of a set, `judge` compares models; `docs/clusters.md` explains the results.
"""

from .clusters import IMAGES, MOST, Cluster, Member, Survey, csv_text, survey
from .judge import Judgement, Judging, compared, judge, markdown, table_text

__all__ = [
    "IMAGES",
    "MOST",
    "Cluster",
    "Judgement",
    "Judging",
    "Member",
    "Survey",
    "compared",
    "csv_text",
    "judge",
    "markdown",
    "survey",
    "table_text",
]
