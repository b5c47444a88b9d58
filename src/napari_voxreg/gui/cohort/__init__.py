"""The Cohort panel."""
