"""Simulated pairs of images with a known truth, one of each kind of image; always the same pixels."""

from __future__ import annotations

from pathlib import Path

from .base import Sample, SampleInfo

SAMPLES: dict[str, SampleInfo] = {
    info.name: info
    for info in (
        SampleInfo(
            "fundus",
            "Fundus, two visits (simulated change)",
            "scikit-image's photograph of a retina, and the same under a simulated smooth warp with other "
            "illumination and a small new lesion.",
        ),
        SampleInfo(
            "sar",
            "SAR, two incidence angles (simulated)",
            "A simulated landscape with fields, roads, a river, woods and towns, seen by radar at 27 and 41 "
            "degrees incidence, with hills that displace it, layover, shadow and four-look gamma speckle.",
        ),
        SampleInfo(
            "brain2d",
            "Brain MRI slice, T1 and T2 (simulated)",
            "An axial slice of a simulated head with folded cortex, T1-like and T2-like, with bias field, "
            "noise and labels.",
        ),
        SampleInfo(
            "brain3d",
            "Brain MRI volume, T1 and T2 (simulated)",
            "A simulated head with folded cortex, cerebellum and eyes, T1-like and T2-like, with bias field, "
            "noise and labels.",
            ndim=3,
        ),
        SampleInfo(
            "microscopy",
            "Tissue section, H&E and fluorescence (simulated)",
            "A simulated tissue section with glands, stained like haematoxylin and eosin, and the same "
            "section after restaining, deformed, with fluorescent nuclei.",
        ),
    )
}


def make_sample(name: str, seed: int = 0) -> Sample:
    """Make the sample of that name.

    Raises
    ------
    ValueError
        If there is no such sample.
    """
    if name not in SAMPLES:
        raise ValueError(f"There is no sample {name!r}; choose one of {', '.join(SAMPLES)}.")
    return SAMPLES[name].make(seed)


def folder() -> Path:
    """The folder with the same pairs as small files, in the installed package or in the repository.

    Raises
    ------
    ValueError
        If neither has it.
    """
    package = Path(__file__).resolve().parents[1]
    for place in (package / "sample_data", package.parents[1] / "sample_data"):
        if (place / "README.md").is_file():
            return place
    raise ValueError(
        "The sample files are missing; make them with: python -m napari_voxreg.samples sample_data"
    )
