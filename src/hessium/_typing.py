"""Names for NumPy arrays and for arguments; torch-free, so that theory can use them.

`Real` and `ArrayLike` name int beside float, because checkers at run time take the names literally.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
AnyArray: TypeAlias = npt.NDArray[Any]
ComplexArray: TypeAlias = npt.NDArray[np.complex128]

Real: TypeAlias = float | int
ArrayLike: TypeAlias = npt.ArrayLike | float | int
