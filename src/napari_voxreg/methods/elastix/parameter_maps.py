"""elastix's parameter maps: those of the presets, and those of the user's own files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np

from ...core.geometry import Grid
from ...io.guards import read_text
from ..options import control_distance, voxel_size
from .params import ElastixParams

Map = dict[str, tuple[str, ...]]

# Characters of a parameter file and of a line in it: of far longer ones TOML takes minutes.
LONGEST_FILE, LONGEST_LINE = 200_000, 2000

METRICS = {
    "mutual information": "AdvancedMattesMutualInformation",
    "correlation": "AdvancedNormalizedCorrelation",
    "mean squares": "AdvancedMeanSquares",
}
KINDS = {
    "translation": "TranslationTransform",
    "rigid": "EulerTransform",
    "similarity": "SimilarityTransform",
    "affine": "AffineTransform",
    "B-spline": "BSplineTransform",
}
# elastix's defaults, with three exceptions: the initial transform is applied by `register`, no result image
# is written, and transformix interpolates linearly.
COMMON = {
    "AutomaticParameterEstimation": "true",
    "AutomaticTransformInitialization": "false",
    "CheckNumberOfSamples": "true",
    "DefaultPixelValue": "0",
    "FinalBSplineInterpolationOrder": "1",
    "FixedImagePyramid": "FixedSmoothingImagePyramid",
    "FixedInternalImagePixelType": "float",
    "Interpolator": "LinearInterpolator",
    "MaximumNumberOfSamplingAttempts": "8",
    "MovingImagePyramid": "MovingSmoothingImagePyramid",
    "MovingInternalImagePixelType": "float",
    "NewSamplesEveryIteration": "true",
    "NumberOfSamplesForExactGradient": "4096",
    "Optimizer": "AdaptiveStochasticGradientDescent",
    "ResampleInterpolator": "FinalBSplineInterpolator",
    "Resampler": "DefaultResampler",
    "ResultImageFormat": "nii",
    "UseDirectionCosines": "true",
    "WriteResultImage": "false",
}


def preset_maps(params: ElastixParams, grid: Grid, seed: int, *, masked: bool, landmarks: bool) -> list[Map]:
    """The parameter maps of a preset, one a stage.

    Weights and distances are set in units of the fixed image's voxels, so that the result does not depend on
    the unit of the world.

    Parameters
    ----------
    params : ElastixParams
        With any `stages` but "parameter files".
    grid : Grid
        Of the fixed image.
    seed : int
        For elastix's choice of samples.
    masked, landmarks : bool
        Whether there is a fixed mask, and whether there are landmarks.
    """
    voxel = voxel_size(grid)
    maps = []
    for name in params.stages.split(" + "):
        deformable = name == "B-spline"
        metrics: list[tuple[str, float]] = [(METRICS[params.metric], 1.0)]
        if deformable and params.bending > 0:
            # Bending energy is an inverse area.
            metrics.append(("TransformBendingEnergyPenalty", params.bending * voxel**2))
        if landmarks:
            metrics.append(("CorrespondingPointsEuclideanDistanceMetric", params.points_weight / voxel))
        several = "MultiMetric" if len(metrics) > 1 else ""
        values: Map = {key: (value,) for key, value in COMMON.items()}
        values |= {
            "ImageSampler": ("RandomSparseMask" if masked else "RandomCoordinate",),
            "MaximumNumberOfIterations": (str(params.iterations),),
            "Metric": tuple(metric for metric, _ in metrics),
            "NumberOfHistogramBins": (str(params.bins),),
            "NumberOfResolutions": (str(params.resolutions),),
            "NumberOfSpatialSamples": (str(params.samples),),
            "RandomSeed": (str(1 + seed % 2**31),),
            "Registration": (f"{several}MultiResolutionRegistration",),
            "Transform": (KINDS[name],),
        }
        values |= {f"Metric{n}Weight": (repr(weight),) for n, (_, weight) in enumerate(metrics)}
        if params.metric == "mean squares":
            values["UseNormalization"] = ("true",)  # by the range of intensities, for the other weights' sake
        if deformable:
            values |= control_points(params, grid)
        elif name != "translation":
            values["AutomaticScalesEstimation"] = ("true",)
        maps.append(values)
    return maps


def control_points(params: ElastixParams, grid: Grid) -> Map:
    """The values for a control grid about as dense along each axis in the world, from coarse to fine."""
    along = np.maximum(control_distance(grid, params.grid_spacing) / grid.spacing, 2.0)[::-1]
    schedule = [2 ** ((params.resolutions - 1 - level) / 2) for level in range(params.resolutions)]
    return {
        "FinalGridSpacingInVoxels": tuple(map(repr, along.tolist())),
        "GridSpacingSchedule": tuple(map(repr, schedule)),
    }


def read_map(path: Path, ndim: int) -> Map:
    """Read one of elastix's parameter files, to check it and to know its components.

    Parameters
    ----------
    path : Path
        A text file (.txt) or a TOML file (.toml).
    ndim : int
        Number of axes of the images.

    Raises
    ------
    ValueError
        If the file cannot be read, is not a parameter file or is for another number of axes.
    """
    text = read_text(path)
    reads = {".txt": _text_map, ".toml": _toml_map}.get(path.suffix.lower())
    short = len(text) <= LONGEST_FILE and max(map(len, text.splitlines()), default=0) <= LONGEST_LINE
    values = reads(text) if reads and short else None
    if not values or "Transform" not in values or "Metric" not in values:
        raise ValueError(
            f"{path} is not an elastix parameter file; choose a .txt or .toml file that names at least a "
            "Transform and a Metric."
        )
    for name in ("FixedImageDimension", "MovingImageDimension"):
        if values.get(name, (str(ndim),)) != (str(ndim),):
            raise ValueError(
                f"{path} is for {values[name][0]}D images, but these are {ndim}D; change its {name} or "
                "choose another file."
            )
    return values


def _text_map(text: str) -> Map | None:
    """Lines of ``(Name value "value" ...)`` and comments; None if there is anything else."""
    values: Map = {}
    for line in text.splitlines():
        # Two slashes begin a comment where they are not within quotes, which is every other part.
        parts = line.split('"')
        for k in range(0, len(parts), 2):
            bare, slashes, _ = parts[k].partition("//")
            if slashes:
                parts[k:] = [bare]
                break
        content = '"'.join(parts).strip()
        if not content:
            continue
        if not (content.startswith("(") and content.endswith(")")):
            return None
        name, *rest = content[1:-1].split(None, 1)[:2] or [""]
        if not rest or not re.fullmatch(r"\w+", name):
            return None
        values[name] = tuple(quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', rest[0]))
    return values


def _toml_map(text: str) -> Map | None:
    """``Name = value`` or ``Name = [values]``; None if there is anything else."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets thousands deep
        return None
    values: Map = {}
    for name, value in content.items():
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str | bool | float) or _is_short(item) for item in items):
            return None
        values[name] = tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in items)
    return values


def _is_short(item: object) -> bool:
    """Whether a value is a whole number that Python will write out."""
    return isinstance(item, int) and item.bit_length() <= 64
