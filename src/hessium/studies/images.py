"""Small real images: 4 x 4 pixels, grayscale, whitened, from data in a package or a file."""

from __future__ import annotations

import hashlib
import importlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError

SIDE = 4
_PATCH = 32  # pixels of a photograph that become one image, as in CIFAR-10
_RECORD = 1 + 3 * 32 * 32  # bytes of one image in CIFAR-10's binary files
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def small_images(count: int, seed: int, source: str = "photographs") -> FloatArray:
    """Whitened images as rows: mean zero, identity covariance over the images returned.

    Args:
        count: number of images, at least 17 so that the covariance can be whitened.
        seed: which ones.
        source: "photographs" (patches of scikit-learn's two sample photographs), "digits"
            (scikit-learn's digits), or a file: `.npy` with an array of images (n, h, w) or
            (n, h, w, 3), or a batch of CIFAR-10's binary version (`.bin`).

    Returns:
        Shape (count, 16).

    Raises:
        InputError: if the source has fewer images, or does not exist.
    """
    rng = np.random.default_rng([seed, 4])
    if source == "photographs":
        images = _photographs(count, rng)
    else:
        everything = _digits() if source == "digits" else _file(Path(source))
        if len(everything) < count:
            msg = f"source: {source} has {len(everything)} images; {count} are required"
            raise InputError(msg)
        images = _reduced(everything[rng.permutation(len(everything))[:count]])
    return whitened(images.reshape(count, -1))


def digest(source: str) -> str:
    """A hash of the content of a file, for the names of stored results; "" for other sources."""
    path = Path(source)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def whitened(rows: FloatArray) -> FloatArray:
    """Rows less their mean, times the symmetric inverse root of their covariance.

    Raises:
        InputError: if there are no more rows than columns, or some direction does not vary.
    """
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
    if len(rows) <= rows.shape[1] or values[0] <= 1e-12 * values[-1]:
        msg = f"count: {len(rows)} images of {rows.shape[1]} pixels have a singular covariance; "
        raise InputError(msg + "more, or other, images are required")
    return np.asarray(centred @ (vectors / np.sqrt(values)) @ vectors.T)


def packaged() -> Any:
    """`sklearn.datasets`, imported on use because the import takes a second.

    Raises:
        InputError: if scikit-learn is not installed.
    """
    try:
        return importlib.import_module("sklearn.datasets")
    except ImportError as error:
        msg = (
            "scikit-learn: not installed, and this study uses its images; "
            "pip install 'hessium[studies]' installs it"
        )
        raise InputError(msg) from error


def _photographs(count: int, rng: np.random.Generator) -> FloatArray:
    images = packaged().load_sample_images().images
    photographs = [np.asarray(one, dtype=np.float64) for one in images]
    patches = []
    for _ in range(count):
        photo = photographs[int(rng.integers(len(photographs)))]
        row, column = (int(rng.integers(size - _PATCH)) for size in photo.shape[:2])
        patches.append(photo[row : row + _PATCH, column : column + _PATCH])
    return _reduced(np.array(patches))


def _digits() -> FloatArray:
    return np.asarray(packaged().load_digits().images, dtype=np.float64)


def _file(path: Path) -> FloatArray:
    if not path.is_file():
        msg = f"source: {path} does not exist; photographs, digits, or a .npy or .bin file"
        raise InputError(msg)
    if path.suffix == ".bin":
        raw = np.fromfile(path, dtype=np.uint8)
        if not raw.size or raw.size % _RECORD:
            msg = f"source: {path} has {raw.size} bytes; a multiple of {_RECORD} is required"
            raise InputError(msg)
        planes = raw.reshape(-1, _RECORD)[:, 1:].reshape(-1, 3, 32, 32)
        return planes.transpose(0, 2, 3, 1).astype(np.float64)
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        msg = f"source: {path} cannot be read as .npy ({str(error).splitlines()[0]})"
        raise InputError(msg) from error
    colours = array.shape[3:]
    if array.ndim < 3 or min(array.shape[1:3]) < SIDE or colours not in ((), (3,)):
        msg = f"source: {path} has shape {array.shape}; (n, h, w) or (n, h, w, 3) is required"
        raise InputError(msg)
    return array.astype(np.float64)


def _reduced(images: FloatArray) -> FloatArray:
    """Grayscale, then means over a grid of 4 x 4 cells."""
    gray = images @ _LUMINANCE if images.ndim == 4 else images
    rows, columns = (np.linspace(0, size, SIDE + 1).round().astype(int) for size in gray.shape[1:])
    cells = [
        [gray[:, a:b, c:d].mean(axis=(1, 2)) for c, d in pairwise(columns)]
        for a, b in pairwise(rows)
    ]
    return np.array(cells).transpose(2, 0, 1)
