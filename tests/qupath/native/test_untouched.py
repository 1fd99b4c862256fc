"""An edit of a file that QuPath wrote leaves every byte of what it does not name, whatever else is in the file."""

from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

from qupath.native.bytewise import object_bytes, other_parts
from qupath.native.samples import TUMOR, new_id, tile_table
from qupath.native.test_forms import Bench

from her2qp.qupath import QpData
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.java import ClassData, ClassDesc, EnumConstant, Field, Instance, JavaArray, JavaString, Value
from her2qp.qupath.java.graph import Item
from her2qp.qupath.native import schema
from her2qp.qupath.native.containers import map_items, set_map
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.qupath.rois import make_roi, rectangle

MARKS = {"HER2 tiles": 30.0, "HER2 p(0)": 0.25}


def of_an_extension(bench: Bench) -> list[tuple[Value, Value]]:
    """Properties that an extension might leave: classes that nobody here knows, of every form that Java has."""
    plain = ClassDesc("org.example.Tool", 42, schema.SERIALIZABLE, (Field("D", "radius"), Field("J", "seed")))
    derived = ClassDesc("org.example.Brush", 43, schema.SERIALIZABLE | 1, (), plain)
    content: list[Item] = [b"\x00\x01\x02", bench.vocabulary.integer(7), b"after"]
    parts = [ClassData(plain, struct.pack(">dq", 2.5, -1)), ClassData(derived, content=content)]
    outside = ClassDesc("org.example.Settings", 44, schema.EXTERNALIZABLE)
    mode = ClassDesc("org.example.Mode", 0, schema.ENUM, (), ClassDesc("java.lang.Enum", 0, schema.ENUM))
    numbers = ClassDesc("[J", 0x782004B512B17593, schema.SERIALIZABLE)
    brush = Instance(derived, parts)
    return [
        (JavaString.of("org.example.brush"), brush),
        (JavaString.of("org.example.same brush"), brush),
        (JavaString.of("org.example.settings"), Instance(outside, [ClassData(outside, content=[b"x" * 3000, brush])])),
        (JavaString.of("org.example.mode"), EnumConstant(mode, JavaString.of("FAST"))),
        (JavaString.of("org.example.numbers"), JavaArray(numbers, struct.pack(">3q", 1, 2, 3))),
        (JavaString.of("org.example.script"), JavaString.of("println 'ä \U0001f52c'\n" * 9000)),
    ]


def with_an_extensions_properties(file: Path) -> bytes:
    bench = Bench(QpData.read(file))
    properties = bench.stream.contents[-2]
    assert isinstance(properties, Instance)
    set_map(properties, map_items(properties) + of_an_extension(bench))
    return bench.result().to_bytes()


def test_nothing_but_what_is_named_changes_in_any_golden_file(golden: Path) -> None:
    for file in sorted((golden / "project" / "data").glob("*/data.qpdata")):
        original = with_an_extensions_properties(file)
        data = QpData.from_bytes(original)
        annotations = [obj.id for obj in data.annotations]
        others, objects = other_parts(original), object_bytes(original)

        tiles = tile_table(300, (None, *annotations[:3]), unclassified=True)
        drawn = PathObject(new_id(99), ObjectType.ANNOTATION, make_roi(rectangle(0, 0, 1, 1)), TUMOR, name="later")
        data.apply(
            HierarchyEdit(add_objects=(drawn,), add_tiles=tiles, set_measurements=dict.fromkeys(annotations[:1], MARKS))
        )
        changed = data.to_bytes()
        assert other_parts(changed) == others
        after = object_bytes(changed)
        ours = {new_id(99), *(UUID(bytes=row.tobytes()) for row in tiles.ids)}
        assert after.keys() - objects.keys() == ours
        touched = set(annotations[:1])
        assert {key: after[key] for key in objects.keys() - touched} == {
            key: objects[key] for key in objects.keys() - touched
        }
        without_measurements = object_bytes(changed, measurements=False)
        for key in touched:
            assert without_measurements[key] == object_bytes(original, measurements=False)[key]

        data = QpData.from_bytes(changed)
        marks = dict.fromkeys(annotations[:1], frozenset(MARKS))
        data.apply(HierarchyEdit(remove=frozenset(ours), drop_measurements=marks))
        assert data.to_bytes() == original
