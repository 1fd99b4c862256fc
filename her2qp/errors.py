"""Every error her2qp raises on purpose: what is wrong, where, and what to do about it.

The tree follows the rooms of the program, so a caller can catch as widely or as narrowly as it likes. Anything
that is not a :class:`Her2qpError` is a bug in her2qp.
"""

from __future__ import annotations


class Her2qpError(Exception):
    """Base of all errors that her2qp raises on purpose.

    Parameters
    ----------
    what
        What is wrong, as the beginning of a sentence without a full stop.
    where
        The file, image or object it is about. Shown first.
    remedy
        What the user can do. Shown last, as a sentence of its own.
    """

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.remedy = remedy

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.remedy is None else f"{text.rstrip('.')}. {self.remedy}"


# --- QuPath projects -------------------------------------------------------------------------------------------------


class ProjectError(Her2qpError):
    """Something about a QuPath project as a whole."""


class ProjectNotFoundError(ProjectError):
    """There is no QuPath project at the given place."""


class ProjectFormatError(ProjectError):
    """A project file (``.qpproj``, ``classes.json``) is not what QuPath writes."""


class ProjectLockedError(ProjectError):
    """Another process holds the project's lock."""


class ProjectChangedError(ProjectError):
    """The project on disk is no longer what was read."""


class ProjectAccessError(ProjectError):
    """The project cannot be written: read-only, no permission, disk full."""


class ImageNotFoundError(ProjectError):
    """The project has no image entry of the given name."""


class DataFileError(ProjectError):
    """A ``data.qpdata`` file cannot be read to its end or written."""


class UnsupportedDataError(DataFileError):
    """A ``data.qpdata`` file is of a newer or unknown format; it is left untouched."""


class CrashedSaveError(DataFileError):
    """A ``data.qpdata.bkp`` shows that a save by QuPath did not finish."""


class InvalidEditError(ProjectError):
    """A change to a hierarchy that QuPath would refuse or could not read back."""


class GeoJSONError(Her2qpError):
    """GeoJSON that is not GeoJSON, or not what QuPath exchanges."""


# --- QuPath itself ---------------------------------------------------------------------------------------------------


class QuPathError(Her2qpError):
    """Something about an installed QuPath."""


class QuPathNotFoundError(QuPathError):
    """No usable QuPath installation was found."""


class QuPathProcessError(QuPathError):
    """The process that runs QuPath's code died, hung or reported an exception."""


# --- slides and tiles ------------------------------------------------------------------------------------------------


class SlideError(Her2qpError):
    """Something about a slide file."""


class SlideNotFoundError(SlideError):
    """The slide file of an image entry does not exist."""


class SlideFormatError(SlideError):
    """The slide file cannot be read: unknown format, damaged, truncated."""


class SlideMismatchError(SlideError):
    """The slide file is not the one that the project describes."""


class UnsupportedServerError(SlideError):
    """The image entry shows the slide through a server builder that is not supported."""


class PixelSizeError(SlideError):
    """The pixel size is missing, not square or absurd."""


class RegionError(Her2qpError):
    """Annotations that cannot be turned into regions (an unknown class, an unusable ROI)."""


# --- features, models, results ---------------------------------------------------------------------------------------


class ExtractorError(Her2qpError):
    """A feature extractor is unknown, incomplete or misbehaves."""


class WeightsNotFoundError(ExtractorError):
    """The weights of an extractor are not at hand."""


class FeatureStoreError(Her2qpError):
    """A feature file is damaged or belongs to other tiles."""


class ModelError(Her2qpError):
    """A model is asked for something it cannot do."""


class BundleError(ModelError):
    """A model bundle is damaged or incomplete."""


class BundleMismatchError(BundleError):
    """A model bundle belongs to other features."""


class RunError(Her2qpError):
    """A run record or its backup cannot be used."""


class DownloadError(Her2qpError):
    """A file that is fetched on first use could not be had."""


# --- training and evaluation -----------------------------------------------------------------------------------------


class CohortError(Her2qpError):
    """Images, labels or features that do not make a cohort."""


class FoldError(Her2qpError):
    """Patients that cannot be divided into folds as asked."""


class TrainingError(Her2qpError):
    """Training that cannot be done as asked: its configuration, its output folder, its data."""


class EvaluationError(Her2qpError):
    """Predictions, or what belongs to them, that cannot be judged."""
