"""The registration of other packages: ANTs, greedy, ConvexAdam and keypoints, from two images to a transform.

Each gets the images with their geometry, at the settings that its documentation recommends.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from napari_voxreg.core.geometry import Array, Image
from napari_voxreg.transforms import Affine, Displacement, Transform, warp

# The package that a peer needs beyond this one's own.
PACKAGES = {
    "SyN": "antspyx",
    "SyN-quick": "antspyx",
    "ConvexAdam": "convexAdam",
    "greedy": "picsl-greedy",
    "SIFT": "opencv-python-headless",
}
RATIO = 0.85  # of the distances to the nearest and second nearest descriptor, below which two are a match
LEAST = 6  # matches that an affine map needs
NEAR = 5.0  # pixels from the map within which a match supports it


def missing() -> dict[str, str]:
    """Peers that cannot take part here, with the reason."""
    absent = {}
    for name, package in PACKAGES.items():
        try:
            version(package)
        except PackageNotFoundError:
            absent[name] = f"{package} is not installed (pip install --group bench)"
    return absent


def ants(kind: str, fixed: Image, moving: Image) -> tuple[Transform, float]:
    """ANTsPy, whose arrays have one axis a world axis in the same order: ours, then, taken as they are."""
    import ants

    first, second = (
        ants.from_numpy(
            image.data.astype(np.float32),
            origin=image.grid.origin.tolist(),
            spacing=image.grid.spacing.tolist(),
            direction=image.grid.direction,
        )
        for image in (fixed, moving)
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        found = ants.registration(
            first, second, type_of_transform=kind, random_seed=1, outprefix=str(Path(folder) / "found")
        )
        seconds = time.perf_counter() - start
        whole = ants.apply_transforms(
            first, second, found["fwdtransforms"], compose=str(Path(folder) / "whole")
        )
        field = ants.image_read(whole).numpy().astype(np.float64)
    return Displacement(field, fixed.grid), seconds


def convex_adam(fixed: Image, moving: Image) -> tuple[Transform, float]:
    """ConvexAdam with MIND-SSC; it ignores geometry, so the moving image is resampled first."""
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    resampled = warp(moving, None, fixed.grid).data
    if not resampled.any():
        raise ValueError("ConvexAdam needs images that overlap at their current positions.")
    start = time.perf_counter()
    pixels = convex_adam_pt(
        fixed.data.astype(np.float32),
        resampled.astype(np.float32),
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    seconds = time.perf_counter() - start
    return Displacement(pixels @ fixed.grid.affine[:-1, :-1].T, fixed.grid), seconds


def greedy(fixed: Image, moving: Image) -> tuple[Transform, float]:
    """Greedy by normalised cross-correlation: an affine map from the image centres, then a deformation."""
    import picsl_greedy

    d = fixed.ndim
    run = (picsl_greedy.Greedy2D if d == 2 else picsl_greedy.Greedy3D)()
    images = {"f": _itk(fixed), "m": _itk(moving)}
    by = f"-m NCC {'x'.join('2' * d)} -n 100x50x10 -V 0"
    with tempfile.TemporaryDirectory() as folder:
        affine, deformation, whole = (str(Path(folder) / name) for name in ("a.mat", "d.nii.gz", "w.nii.gz"))
        start = time.perf_counter()
        run.execute(f"-i f m -a -dof 12 -ia-image-centers {by} -o {affine}", **images)
        run.execute(f"-i f m -it {affine} {by} -o {deformation}", **images)
        seconds = time.perf_counter() - start
        run.execute(f"-rf f -r {deformation} {affine} -rc {whole} -V 0", **images)
        import SimpleITK as sitk

        field = sitk.GetArrayFromImage(sitk.ReadImage(whole)).astype(np.float64)
    return Displacement(field.reshape(*fixed.grid.shape, d)[..., ::-1], fixed.grid), seconds


def keypoints(fixed: Image, moving: Image) -> tuple[Transform, float]:
    """An affine map through SIFT keypoints by OpenCV, robust by USAC; the identity without enough matches."""
    import cv2

    start = time.perf_counter()
    sift = cv2.SIFT_create(4000)
    points, descriptors = zip(*(_described(sift, image.data) for image in (fixed, moving)), strict=True)
    if min(len(p) for p in points) < LEAST:
        return Affine.identity(2), time.perf_counter() - start
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(*descriptors, k=2)
    good = [a for a, b in pairs if a.distance < RATIO * b.distance]
    if len(good) < LEAST:
        return Affine.identity(2), time.perf_counter() - start
    a = points[0][[match.queryIdx for match in good]]
    b = points[1][[match.trainIdx for match in good]]
    pixels, _ = cv2.estimateAffine2D(
        a, b, method=cv2.USAC_MAGSAC, ransacReprojThreshold=NEAR, maxIters=10000, confidence=0.999
    )
    if pixels is None:
        return Affine.identity(2), time.perf_counter() - start
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])  # OpenCV's points are (column, row)
    index = swap @ np.vstack([pixels, [0, 0, 1]]) @ swap
    matrix = moving.grid.affine @ index @ np.linalg.inv(fixed.grid.affine)
    return Affine(matrix), time.perf_counter() - start


def _described(sift: object, pixels: Array) -> tuple[Array, Array]:
    """Keypoints (n, 2) and their descriptors, of an image stretched to eight bits."""
    low, high = np.percentile(pixels, (0.5, 99.5))
    grey = (np.clip((pixels - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    found, descriptors = sift.detectAndCompute(grey, None)  # type: ignore[attr-defined]
    return np.array([p.pt for p in found]).reshape(-1, 2), descriptors


def _itk(image: Image) -> object:
    """For SimpleITK, whose axes run the other way."""
    import SimpleITK as sitk

    found = sitk.GetImageFromArray(image.data.astype(np.float32))
    found.SetSpacing(image.grid.spacing[::-1].tolist())
    found.SetOrigin(image.grid.origin[::-1].tolist())
    found.SetDirection(image.grid.direction[::-1, ::-1].ravel().tolist())
    return found


RUN: dict[str, Callable[[Image, Image], tuple[Transform, float]]] = {
    "SyN": lambda fixed, moving: ants("SyN", fixed, moving),
    "SyN-quick": lambda fixed, moving: ants("antsRegistrationSyNQuick[s]", fixed, moving),
    "ConvexAdam": convex_adam,
    "greedy": greedy,
    "SIFT": keypoints,
}
