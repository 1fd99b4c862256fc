"""Settings from a YAML file, with the line of what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from her2qp.errors import TrainingError

Place = tuple[str | int, ...]
Settings = TypeVar("Settings", bound=BaseModel)

_LARGEST_BYTES = 1 << 20
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A mapping from YAML, and where in the file each of its values stands.

    Parameters
    ----------
    path
        Of the file.
    values
        What it holds.
    lines
        Line, from 1, of each value by its place: keys of mappings and positions in lists.
    """

    path: Path
    values: dict[str, Any]
    lines: dict[Place, int]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises
        ------
        TrainingError
            It cannot be read, is no YAML, holds something else than a mapping, a key twice, or an alias.
        """
        try:
            data = path.read_bytes() if path.stat().st_size <= _LARGEST_BYTES else None
        except OSError as error:
            raise TrainingError(f"the configuration cannot be read ({error.strerror})", where=path) from error
        if data is None:
            raise TrainingError(f"a configuration is not larger than {_LARGEST_BYTES >> 20} MiB", where=path)
        try:
            _refuse_traps(data, path)
            node = yaml.compose(data, Loader=yaml.SafeLoader)
            values = yaml.safe_load(data)
        except yaml.MarkedYAMLError as error:
            line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
            raise TrainingError(f"not YAML: {error.problem or error.context}", where=f"{path}{line}") from error
        except (yaml.YAMLError, ValueError) as error:
            raise TrainingError(f"not YAML: {' '.join(str(error).split())}", where=path) from error
        if node is None or not isinstance(values, dict):
            raise TrainingError("a configuration consists of lines like `cohort: cohort.csv`", where=path)
        return cls(path, values, dict(_lines(node, (), path)))

    def validate(self, settings: type[Settings], overriding: Mapping[str, Any], context: Any = None) -> Settings:
        """Make settings of the values.

        Parameters
        ----------
        settings
            Their type.
        overriding
            Values that count in place of those of the file; mappings are merged.
        context
            For the validators of `settings`.

        Raises
        ------
        TrainingError
            A value is wrong or missing; the message names field and line.
        """
        try:
            return settings.model_validate(merged(self.values, overriding), context=context)
        except ValidationError as error:
            place, message = _first_problem(error)
            known: Place = ()
            for part in place:  # a place may hold the name of a choice too, which is not in the file
                known = (*known, part) if (*known, part) in self.lines else known
            field = known if not place or place[-1] in known else (*known, place[-1])
            line = f", line {self.lines[known]}" if known else ""
            said = f"{'.'.join(map(str, field))}: {message}" if field else message
            raise TrainingError(said, where=f"{self.path}{line}") from error


def validated(settings: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Make settings of values that come from no file.

    Raises
    ------
    TrainingError
        A value is wrong or missing; the message names the field.
    """
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        place, message = _first_problem(error)
        raise TrainingError(f"{'.'.join(map(str, place))}: {message}" if place else message) from error


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another; mappings inside both are merged too."""
    both = {
        name: merged(below[name], value)
        if isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
        else value
        for name, value in above.items()
    }
    return {**below, **both}


def _first_problem(error: ValidationError) -> tuple[Place, str]:
    problem = error.errors(include_url=False, include_input=False)[0]
    message = {"missing": "is missing", "extra_forbidden": "there is no such setting"}.get(problem["type"])
    return problem["loc"], message or problem["msg"].removeprefix("Value error, ")


def _refuse_traps(data: bytes, path: Path) -> None:
    """Refuse what makes a small file large in memory: aliases, and nesting without end."""
    depth = 0
    for event in yaml.parse(data, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
            what = "an alias (*)" if isinstance(event, yaml.AliasEvent) else "too deep a nesting"
            raise TrainingError(f"a configuration has no place for {what}", where=f"{path}, line {_line(event)}")


def _lines(node: yaml.Node, place: Place, path: Path) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise TrainingError(f"{key.value} is given twice", where=f"{path}, line {_line(key)}")
            seen.add(key.value)
            yield (*place, key.value), _line(key)
            yield from _lines(value, (*place, key.value), path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), _line(value)
            yield from _lines(value, (*place, index), path)


def _line(marked: yaml.Node | yaml.Event) -> int:
    return 0 if marked.start_mark is None else int(marked.start_mark.line) + 1
