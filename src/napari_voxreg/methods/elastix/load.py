"""Importing this module loads itk's elastix, which takes about ten seconds; only the child process does."""

import itk

__all__ = ["itk"]

itk.ElastixRegistrationMethod  # noqa: B018 (itk loads its modules at their first mention)
