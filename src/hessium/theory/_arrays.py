"""Types of arguments and arrays, spelled so that checkers at run time take an int for a float."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

ComplexArray: TypeAlias = npt.NDArray[np.complex128]
Real: TypeAlias = float | int
ArrayLike: TypeAlias = npt.ArrayLike | float | int
