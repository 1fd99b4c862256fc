"""Java object serialization: streams as graphs of nodes, schema-free and lossless.

The protocol is that of the "Java Object Serialization Specification", version 2 streams. Nothing here knows a class
of QuPath: a stream is parsed to the nodes of :mod:`~her2qp.qupath.java.graph`, changed as a graph, and written again;
an unchanged graph gives the same bytes. Long rows of alike objects stay raw bytes
(:mod:`~her2qp.qupath.java.runs`).
"""

from her2qp.qupath.java.graph import (
    ClassData,
    ClassDesc,
    ClassObject,
    EnumConstant,
    Field,
    Instance,
    Item,
    JavaArray,
    JavaString,
    Node,
    Value,
)
from her2qp.qupath.java.knownclasses import KnownClasses
from her2qp.qupath.java.knownruns import KnownRun
from her2qp.qupath.java.mixedruns import MixedRun
from her2qp.qupath.java.runs import Layout, Rows, Run, expand_runs, first_rows
from her2qp.qupath.java.stream import Stream, read_stream
from her2qp.qupath.java.tracing import trace_layout
from her2qp.qupath.java.uniformruns import UniformRun
from her2qp.qupath.java.writer import stream_pieces, write_stream

__all__ = [
    "ClassData",
    "ClassDesc",
    "ClassObject",
    "EnumConstant",
    "Field",
    "Instance",
    "Item",
    "JavaArray",
    "JavaString",
    "KnownClasses",
    "KnownRun",
    "Layout",
    "MixedRun",
    "Node",
    "Rows",
    "Run",
    "Stream",
    "UniformRun",
    "Value",
    "expand_runs",
    "first_rows",
    "read_stream",
    "stream_pieces",
    "trace_layout",
    "write_stream",
]
