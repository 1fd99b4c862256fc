"""What the user may choose about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from her2qp.cachefolder import user_cache
from her2qp.qupath.classes import PathClass

Backend = Literal["auto", "paquo", "native"]


class TileSettings(BaseModel):
    """Which tiles of a project's images are meant, and by what their features are made.

    Parameters
    ----------
    classes
        Annotation classes to score, derived classes included; an empty string stands for unclassified annotations.
    exclude
        Classes to cut out, beyond those that end in ``*`` and necrosis and artefact.
    whole_tissue
        Score all tissue of the slide, or of each TMA core; annotations then only exclude.
    tma
        Score each TMA core by itself: see :func:`her2qp.tiling.core_regions`.
    images
        Glob patterns of image names; empty takes all.
    mpp
        Pixel size in µm/px to use for every image instead of the project's and the slide's.
    extractor
        Id or file of the feature extractor; None takes the one the model names, or without a model the default one.
    runtime
        Runtime of the extractor's network.
    min_region, min_tissue
        Least share of a tile inside its region, and of tissue in it, for the tile to be kept.
    stride_px
        Distance of neighbouring tiles in pixels at the model's pixel size; None lays them side by side. Overlapping
        tiles count their pixels more than once.
    cache_folder
        Where features and tissue masks of earlier runs are kept; None takes the user's cache folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: tuple[str, ...] = ("Tumor",)
    exclude: tuple[str, ...] = ()
    whole_tissue: bool = False
    tma: bool = False
    images: tuple[str, ...] = ()
    mpp: float | None = Field(default=None, gt=0)
    extractor: str | None = None
    runtime: Literal["auto", "eager", "compiled", "onnx", "openvino"] = "auto"
    min_region: float = Field(default=0.5, gt=0, le=1)
    min_tissue: float = Field(default=0.25, ge=0, le=1)
    stride_px: int | None = Field(default=None, ge=1)
    cache_folder: Path | None = None

    @field_validator("classes")
    @classmethod
    def _some_class(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return value or ("Tumor",)

    def cache(self) -> Path:
        """Folder of what can be made again."""
        return self.cache_folder or user_cache()

    def wanted_classes(self) -> tuple[PathClass | None, ...]:
        """Classes to score; None stands for unclassified."""
        return tuple(PathClass.from_string(name) if name.strip() else None for name in self.classes)

    def excluded_classes(self) -> tuple[PathClass, ...]:
        """Classes to cut out beyond the standard ones."""
        return tuple(PathClass.from_string(name) for name in self.exclude if name.strip())


class ScoreSettings(TileSettings):
    """Settings of :func:`her2qp.score`, echoed into the run record, beside those of :class:`TileSettings`.

    Parameters
    ----------
    model
        Model bundle (folder or zip); None takes the demonstration model.
    cells
        Give each tile the number and density of the cells in it, by class, that other tools detected.
    backend
        Whose code reads and writes the project.
    wait_s
        How long to wait for another run that works on the same image, in seconds.
    dry_run
        Find the regions and tiles and say what would be done; read no feature, write nothing.
    """

    model: Path | None = None
    cells: bool = False
    backend: Backend = "auto"
    wait_s: float = Field(default=0.0, ge=0)
    dry_run: bool = False
