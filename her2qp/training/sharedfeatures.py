"""Features in one file that several processes read, so that they are in memory once and not once for each of them.

What was read stays in the page cache of the operating system, which all processes share, as long as there is room.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import TrainingError
from her2qp.models.bag import Bag


@dataclass(frozen=True, slots=True)
class SharedFeatures:
    """Features of one slide in the file.

    Parameters
    ----------
    path
        The file: float32, one slide after the other.
    offset
        Where the slide begins, in bytes.
    shape
        Tiles and dimension.
    """

    path: Path
    offset: int
    shape: tuple[int, int]

    def read(self) -> NDArray[np.float32]:
        """The features, shape (n, d), float32.

        Raises
        ------
        TrainingError
            The file is gone or cut short.
        """
        try:
            return np.fromfile(self.path, np.float32, math.prod(self.shape), offset=self.offset).reshape(self.shape)
        except (OSError, ValueError) as error:
            raise TrainingError(
                "the features that processes share can no longer be read", where=self.path, remedy="Run it again."
            ) from error


def share_features(bags: Sequence[Bag], file: Path) -> tuple[Bag, ...]:
    """Move features from memory into a file; those that are read from files of their own stay there.

    Parameters
    ----------
    bags
        Their features leave memory with the last of these bags.
    file
        Is written anew.

    Returns
    -------
    tuple of Bag
        The same, reading from the file.

    Raises
    ------
    TrainingError
        It cannot be written.
    """
    shared = []
    try:
        with file.open("wb") as stream:
            for bag in bags:
                if isinstance(bag.content, np.ndarray):
                    content = SharedFeatures(file, stream.tell(), bag.content.shape)
                    stream.write(bag.content.data)
                    bag = replace(bag, content=content)
                shared.append(bag)
    except OSError as error:
        raise TrainingError(
            f"the features cannot be shared between processes ({error.strerror})",
            where=file,
            remedy="One worker needs no such file.",
        ) from error
    return tuple(shared)
