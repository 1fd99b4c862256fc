"""Objects in and out of QuPath as GeoJSON, and out as a table."""

from her2qp.qupath.geojson.features import from_feature, to_feature
from her2qp.qupath.geojson.loading import load_geojson
from her2qp.qupath.geojson.reader import read_geojson, scan_geojson
from her2qp.qupath.geojson.table import write_csv
from her2qp.qupath.geojson.writer import write_geojson

__all__ = ["from_feature", "load_geojson", "read_geojson", "scan_geojson", "to_feature", "write_csv", "write_geojson"]
