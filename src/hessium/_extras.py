"""Optional packages, by the extra of hessium that installs each."""

from __future__ import annotations

from hessium.errors import InputError

EXTRAS = {
    "matplotlib": "report",
    "rich": "terminal",
    "shtab": "terminal",
    "pandas": "dataframe",
    "pyarrow": "parquet",
    "sklearn": "studies",
    "distributed": "dask",
}


def missing(what: str, error: ImportError) -> InputError | None:
    """The sentence that says which extra is missing; None if no extra contains the package.

    Args:
        what: the feature that needs the package; the sentence begins with it.
        error: of the import.
    """
    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        return None
    return InputError(
        f"{what}: {package} is not installed; `pip install 'hessium[{EXTRAS[package]}]'` brings it"
    )
