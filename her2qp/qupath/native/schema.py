"""The Java classes that occur in QuPath's data files: their serialVersionUIDs, flags, fields and superclasses.

They have not changed between QuPath 0.2 and 0.7. A file whose classes differ is of a newer format and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from her2qp.errors import UnsupportedDataError
from her2qp.qupath.java import ClassDesc, Field, JavaString

SERIALIZABLE = 0x02
WITH_ANNOTATION = 0x03
EXTERNALIZABLE = 0x0C
ENUM = 0x12

OBJECTS = "qupath.lib.objects."
HIERARCHY = OBJECTS + "hierarchy.PathObjectHierarchy"
TMA_GRID = OBJECTS + "hierarchy.DefaultTMAGrid"
PATH_OBJECT = OBJECTS + "PathObject"
ROI_OBJECT = OBJECTS + "PathROIObject"
ROOT = OBJECTS + "PathRootObject"
ANNOTATION = OBJECTS + "PathAnnotationObject"
DETECTION = OBJECTS + "PathDetectionObject"
TILE = OBJECTS + "PathTileObject"
CELL = OBJECTS + "PathCellObject"
TMA_CORE = OBJECTS + "TMACoreObject"
METADATA_MAP = OBJECTS + "MetadataMap"
PATH_CLASS = OBJECTS + "classes.PathClass"
CONNECTIONS = OBJECTS + "PathObjectConnections"
CONNECTION_GROUP = OBJECTS + "DefaultPathObjectConnectionGroup"
CONNECTOR = CONNECTION_GROUP + "$ObjectConnector"
NUMERIC_LIST = "qupath.lib.measurements.NumericMeasurementList$AbstractNumericMeasurementList"
FLOAT_LIST = "qupath.lib.measurements.NumericMeasurementList$FloatList"
DOUBLE_LIST = "qupath.lib.measurements.NumericMeasurementList$DoubleList"
DEFAULT_LIST = "qupath.lib.measurements.DefaultMeasurementList"
DOUBLE_MEASUREMENT = "qupath.lib.measurements.DoubleMeasurement"
FLOAT_MEASUREMENT = "qupath.lib.measurements.FloatMeasurement"
RECTANGLE = "qupath.lib.roi.RectangleROI$SerializationProxy"
ELLIPSE = "qupath.lib.roi.EllipseROI$SerializationProxy"
LINE = "qupath.lib.roi.LineROI$SerializationProxy"
POLYGON = "qupath.lib.roi.PolygonROI$SerializationProxy"
POINTS = "qupath.lib.roi.PointsROI$SerializationProxy"
POLYLINE = "qupath.lib.roi.PolylineROI$SerializationProxy"
AREA = "qupath.lib.roi.AreaROI$SerializationProxy"
GEOMETRY = "qupath.lib.roi.GeometryROI$WKBSerializationProxy"
SHAPE_STATS = "qupath.lib.roi.ClosedShapeStatistics"
GEOMETRY_STATS = "qupath.lib.roi.GeometryROI$GeometryStats"
IMAGE_TYPE = "qupath.lib.images.ImageData$ImageType"
STAINS = "qupath.lib.color.ColorDeconvolutionStains"
WORKFLOW = "qupath.lib.plugins.workflow.Workflow"
ENUM_BASE = "java.lang.Enum"
NUMBER = "java.lang.Number"
INTEGER = "java.lang.Integer"
BOOLEAN = "java.lang.Boolean"
OBJECT_ARRAY = "[Ljava.lang.Object;"
FLOAT_ARRAY = "[F"
DOUBLE_ARRAY = "[D"
BYTE_ARRAY = "[B"
ARRAY_LIST = "java.util.ArrayList"
HASH_MAP = "java.util.HashMap"
LINKED_HASH_MAP = "java.util.LinkedHashMap"
UNMODIFIABLE_COLLECTION = "java.util.Collections$UnmodifiableCollection"
UNMODIFIABLE_LIST = "java.util.Collections$UnmodifiableList"
COLLECTION_SERIALIZER = "java.util.CollSer"
UUID_CLASS = "java.util.UUID"

_STRING = "Ljava/lang/String;"
_OBJECT = "Ljava/lang/Object;"
_LIST = "Ljava/util/List;"
_MAP = "Ljava/util/Map;"
_PLANE = "I c, I t, I z"
_CORNERS = f"I c, I t, D x, D x2, D y, D y2, I z, L name {_STRING}"
_STATS = "L stats Lqupath/lib/roi/ClosedShapeStatistics;"


@dataclass(frozen=True, slots=True)
class _Form:
    """What is known of a class: `fields` as ``code name [signature]``, separated by commas."""

    flags: int
    fields: str = ""
    parent: str | None = None
    uid: int = 1


_FORMS = {
    HIERARCHY: _Form(
        SERIALIZABLE,
        "L rootObject Lqupath/lib/objects/PathObject;, L tmaGrid Lqupath/lib/objects/hierarchy/TMAGrid;",
    ),
    TMA_GRID: _Form(SERIALIZABLE, f"I gridHeight, I gridWidth, L cores {_LIST}"),
    PATH_OBJECT: _Form(EXTERNALIZABLE),
    ROOT: _Form(EXTERNALIZABLE, parent=PATH_OBJECT),
    ROI_OBJECT: _Form(EXTERNALIZABLE, parent=PATH_OBJECT),
    ANNOTATION: _Form(EXTERNALIZABLE, parent=ROI_OBJECT),
    DETECTION: _Form(EXTERNALIZABLE, parent=ROI_OBJECT),
    TILE: _Form(EXTERNALIZABLE, parent=DETECTION),
    CELL: _Form(EXTERNALIZABLE, parent=DETECTION),
    TMA_CORE: _Form(EXTERNALIZABLE, parent=ROI_OBJECT),
    METADATA_MAP: _Form(EXTERNALIZABLE),
    CONNECTIONS: _Form(EXTERNALIZABLE),
    CONNECTION_GROUP: _Form(EXTERNALIZABLE),
    CONNECTOR: _Form(EXTERNALIZABLE),
    PATH_CLASS: _Form(
        SERIALIZABLE,
        f"L colorRGB Ljava/lang/Integer;, L name {_STRING}, L parentClass Lqupath/lib/objects/classes/PathClass;",
    ),
    NUMERIC_LIST: _Form(SERIALIZABLE, f"Z isClosed, L map {_MAP}, L names {_LIST}"),
    FLOAT_LIST: _Form(SERIALIZABLE, "[ values [F", NUMERIC_LIST),
    DOUBLE_LIST: _Form(SERIALIZABLE, "[ values [D", NUMERIC_LIST),
    DEFAULT_LIST: _Form(SERIALIZABLE, "L list Ljava/util/ArrayList;"),
    DOUBLE_MEASUREMENT: _Form(SERIALIZABLE, f"D value, L name {_STRING}"),
    FLOAT_MEASUREMENT: _Form(SERIALIZABLE, f"F value, L name {_STRING}"),
    RECTANGLE: _Form(SERIALIZABLE, _CORNERS),
    ELLIPSE: _Form(SERIALIZABLE, _CORNERS),
    LINE: _Form(SERIALIZABLE, _CORNERS),
    POLYGON: _Form(SERIALIZABLE, f"{_PLANE}, L name {_STRING}, {_STATS}, [ x [F, [ y [F"),
    POINTS: _Form(SERIALIZABLE, f"{_PLANE}, L name {_STRING}, [ x [F, [ y [F"),
    POLYLINE: _Form(SERIALIZABLE, f"{_PLANE}, [ x [F, [ y [F"),
    AREA: _Form(SERIALIZABLE, f"{_PLANE}, L name {_STRING}, {_STATS}, [ x [[F, [ y [[F"),
    GEOMETRY: _Form(SERIALIZABLE, f"{_PLANE}, L stats Lqupath/lib/roi/GeometryROI$GeometryStats;, [ wkb [B"),
    SHAPE_STATS: _Form(
        SERIALIZABLE,
        "D areaCached, F centroidXCached, F centroidYCached, D maxX, D maxY, D minX, D minY, I nVertices, "
        "D perimeterCached",
    ),
    GEOMETRY_STATS: _Form(
        SERIALIZABLE,
        "D area, D boundsMaxX, D boundsMaxY, D boundsMinX, D boundsMinY, D centroidX, D centroidY, D length, "
        f"L error {_STRING}",
    ),
    STAINS: _Form(EXTERNALIZABLE),
    WORKFLOW: _Form(EXTERNALIZABLE),
    IMAGE_TYPE: _Form(ENUM, parent=ENUM_BASE, uid=0),
    ENUM_BASE: _Form(ENUM, uid=0),
    NUMBER: _Form(SERIALIZABLE, uid=0x86AC951D0B94E08B),
    INTEGER: _Form(SERIALIZABLE, "I value", NUMBER, 0x12E2A0A4F7818738),
    BOOLEAN: _Form(SERIALIZABLE, "Z value", uid=0xCD207280D59CFAEE),
    OBJECT_ARRAY: _Form(SERIALIZABLE, uid=0x90CE589F1073296C),
    FLOAT_ARRAY: _Form(SERIALIZABLE, uid=0x0B9C818922E00C42),
    DOUBLE_ARRAY: _Form(SERIALIZABLE, uid=0x3EA68C14AB635A1E),
    BYTE_ARRAY: _Form(SERIALIZABLE, uid=0xACF317F8060854E0),
    ARRAY_LIST: _Form(WITH_ANNOTATION, "I size", uid=0x7881D21D99C7619D),
    HASH_MAP: _Form(WITH_ANNOTATION, "F loadFactor, I threshold", uid=0x0507DAC1C31660D1),
    LINKED_HASH_MAP: _Form(SERIALIZABLE, "Z accessOrder", HASH_MAP, 0x34C04E5C106CC0FB),
    UNMODIFIABLE_COLLECTION: _Form(SERIALIZABLE, "L c Ljava/util/Collection;", uid=0x19420080CB5EF71E),
    UNMODIFIABLE_LIST: _Form(SERIALIZABLE, f"L list {_LIST}", UNMODIFIABLE_COLLECTION, 0xFC0F2531B5EC8E10),
    COLLECTION_SERIALIZER: _Form(WITH_ANNOTATION, "I tag", uid=0x578EABB63A1BA811),
    UUID_CLASS: _Form(SERIALIZABLE, "J leastSigBits, J mostSigBits", uid=0xBC9903F7986D852F),
}


def check_classes(classes: Iterable[ClassDesc], *, where: object = None) -> None:
    """Check that the known classes among `classes` are as they are known.

    Raises
    ------
    UnsupportedDataError
        One has another serialVersionUID, other flags, fields or another superclass.
    """
    for desc in classes:
        form = _FORMS.get(desc.name)
        if form is None:
            continue
        found = (desc.uid, desc.flags, desc.spelling, None if desc.parent is None else desc.parent.name)
        if found != (_signed(form.uid), form.flags, form.fields, form.parent):
            raise UnsupportedDataError(
                f"the class {desc.name} is not the one that is known of QuPath 0.3 to 0.7",
                where=where,
                remedy="The file was probably saved by a newer QuPath; it is left untouched.",
            )


def make_class(name: str, parent: ClassDesc | None, string: Callable[[str], JavaString]) -> ClassDesc:
    """Make the descriptor of a known class.

    Parameters
    ----------
    name, parent
        Java's name; the descriptor of its superclass (:func:`parent_name`).
    string
        Gives the string object for a signature.
    """
    form = _FORMS[name]
    fields = []
    for spec in filter(None, form.fields.split(", ")):
        code, field_name, *signature = spec.split(" ")
        fields.append(Field(code, field_name, string(signature[0]) if signature else None))
    return ClassDesc(name, _signed(form.uid), form.flags, tuple(fields), parent)


def parent_name(name: str) -> str | None:
    """Java's name of the superclass of a known class."""
    return _FORMS[name].parent


def _signed(uid: int) -> int:
    return uid - (1 << 64) if uid >= 1 << 63 else uid
