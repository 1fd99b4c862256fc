"""Run records: numbering, what they remember, damage."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from her2qp.errors import ProjectAccessError
from her2qp.scoring.records import RunRecords


def test_runs_are_numbered_within_the_project(tmp_path: Path) -> None:
    records = RunRecords(tmp_path)
    first = records.next_id()
    assert first.number == 1 and first.text.startswith("0001-")
    records.write(first, {"run": first.text})
    assert records.next_id().number == 2


def test_history_remembers_regions_metadata_and_classes_and_forgets_undone_runs(tmp_path: Path) -> None:
    records, region, other = RunRecords(tmp_path), uuid4(), uuid4()
    first = records.next_id()
    image = {"id": 3, "region_ids": [str(region)], "metadata": {"HER2 predicted": "2+"}}
    records.write(first, {"run": first.text, "classes_added": ["HER2 0"], "images": [image]})
    second = records.next_id()
    records.write(second, {"run": second.text, "images": [{"id": 3, "region_ids": [str(other)]}]})
    history = records.history()
    assert set(history.regions_of(3)) == {region, other}
    assert history.metadata_of(3, {"HER2 run": first.text}) == {"HER2 predicted": "2+"}
    assert history.metadata_of(3, {"HER2 run": second.text}) is None
    assert history.classes_added == {"HER2 0"}
    records.mark_undone(first.text)
    assert records.history().classes_added == set()
    assert records.history().regions_of(3) == [other]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"images": 3}', '{"run": 1, "images": [{"id": []}]}', "[" * 99999]
)
def test_a_damaged_record_is_passed_over(tmp_path: Path, content: str) -> None:
    records = RunRecords(tmp_path)
    good = records.next_id()
    records.write(good, {"run": good.text, "classes_added": ["HER2 0"]})
    (records.folder / "0002-20260101T000000Z.json").write_text(content)
    assert records.history().classes_added == {"HER2 0"}
    assert records.next_id().number == 3


def test_a_record_is_json_that_a_person_can_read(tmp_path: Path) -> None:
    records = RunRecords(tmp_path)
    path = records.write(records.next_id(), {"notice": "nur für die Forschung"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"notice": "nur für die Forschung"}
    assert "für" in path.read_text(encoding="utf-8")


def test_an_unwritable_place_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "her2qp").write_text("a file where the folder should be")
    with pytest.raises(ProjectAccessError, match=r"runs.*cannot be read or written"):
        RunRecords(tmp_path).write(RunRecords(tmp_path).next_id(), {})


def test_a_record_that_cannot_be_read_just_now_is_not_taken_for_none(tmp_path: Path) -> None:
    records = RunRecords(tmp_path)
    records.write(records.next_id(), {"classes_added": ["HER2 0"]})
    (records.folder / "0002-20260101T000000Z.json").mkdir()  # gives an error of the operating system, like a bad disk
    with pytest.raises(ProjectAccessError, match="0002"):
        records.history()
