"""Features of tiles: extractors, the runtimes that compute them, and the store that remembers them."""

from her2qp.features.extract import extract_features
from her2qp.features.extractor import Extractor
from her2qp.features.info import ExtractorInfo, ExtractorListing
from her2qp.features.registry import DEFAULT_EXTRACTOR, extractor_info, list_extractors, load_extractor
from her2qp.features.store import FeatureStore

__all__ = [
    "DEFAULT_EXTRACTOR",
    "Extractor",
    "ExtractorInfo",
    "ExtractorListing",
    "FeatureStore",
    "extract_features",
    "extractor_info",
    "list_extractors",
    "load_extractor",
]
