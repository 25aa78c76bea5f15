"""The file format of results: one JSON document and named arrays in a zip archive.

`hessium.save` writes it, and so does the result store. The document is the member `document.json`;
each array is a member `NAME.npy`, so that `numpy.load` opens the file. Nothing is pickled.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hessium._files import replace_atomically
from hessium._typing import AnyArray

_DOCUMENT, _ARRAY = "document.json", ".npy"
_MOST_COMPRESSED = 2**26  # bytes
_HEADERS = 2**20  # bytes, of the members of an archive


class ArchiveError(ValueError):
    """A file is not an archive of this format, or is damaged."""


def write_archive(path: Path, arrays: Mapping[str, AnyArray], document: Any = None) -> None:
    """Write an archive; a reader, or a crash, sees all of it or the file before.

    Up to 64 MiB of arrays are compressed.

    Args:
        path: of the file, which is replaced; its folder is made.
        arrays: by name.
        document: what JSON can hold; None for no document.

    Raises:
        ValueError: if an array holds objects, or the document a number that is not finite.
        OSError: if the disk refuses it.
    """
    text = json.dumps(document, allow_nan=False)
    small = sum(array.nbytes for array in arrays.values()) <= _MOST_COMPRESSED

    def fill(unfinished: Path) -> None:
        kind = zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED
        with zipfile.ZipFile(unfinished, "w", kind) as archive:
            if document is not None:
                archive.writestr(_DOCUMENT, text)
            for name, array in arrays.items():
                with archive.open(name + _ARRAY, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    replace_atomically(path, fill)


def read_archive(path: Path, *, with_arrays: bool = True) -> tuple[Any, dict[str, AnyArray]]:
    """Read the document and the arrays of an archive.

    A file that claims to unfold to more than `write_archive` compresses is not read.

    Args:
        path: of the file.
        with_arrays: False for the document alone.

    Raises:
        FileNotFoundError, NotADirectoryError: if the file does not exist.
        ArchiveError: if it cannot be read, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unfolded = sum(member.file_size for member in archive.infolist())
            if unfolded > path.stat().st_size + _MOST_COMPRESSED + _HEADERS:
                msg = f"it would unfold to {unfolded / 2**20:.0f} MiB"
                raise ArchiveError(msg)
            document = json.loads(archive.read(_DOCUMENT))
            arrays = {}
            for name in archive.namelist() if with_arrays else ():
                if name.endswith(_ARRAY):
                    with archive.open(name) as member:
                        array = np.lib.format.read_array(member, allow_pickle=False)
                        member.read()  # the end, where the check sum is compared
                    arrays[name.removesuffix(_ARRAY)] = array
    except (FileNotFoundError, NotADirectoryError):
        raise
    except Exception as error:  # whatever is wrong with a file, it is no archive
        lines = str(error).splitlines()
        raise ArchiveError(lines[0] if lines else type(error).__name__) from error
    return document, arrays
