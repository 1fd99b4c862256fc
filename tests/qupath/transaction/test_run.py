"""A transaction publishes whole files or nothing, one writer at a time, and can be undone byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from her2qp.errors import DataFileError, ProjectAccessError, ProjectChangedError, ProjectLockedError, RunError
from her2qp.qupath.transaction import Transaction, last_backup, list_backups, restore_backup, restore_last
from her2qp.qupath.transaction.backup import KEPT_RUNS
from her2qp.qupath.transaction.disk import digest, file_digest

_DATA = "data/1/data.qpdata"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = tmp_path / "study"
    (project / "data" / "1").mkdir(parents=True)
    (project / _DATA).write_bytes(b"old data")
    (project / "project.qpproj").write_bytes(b"old project")
    return project


def _files(folder: Path) -> dict[str, bytes]:
    """All files outside of our own folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in found if "her2qp" not in p.relative_to(folder).parts
    }


def _put(run: Transaction, relative: str, old: bytes | None, new: bytes) -> bool:
    return run.publish(relative, expected=digest(old), write=lambda path: path.write_bytes(new))


def test_a_run_over_several_files_is_undone_byte_for_byte(folder: Path) -> None:
    before = _files(folder)
    with Transaction(folder, "0001", "score") as run:
        assert _put(run, _DATA, b"old data", b"new data")
        assert _put(run, "project.qpproj", b"old project", b"first")
        assert _put(run, "project.qpproj", b"first", b"second")
        assert _put(run, "data/2/data.qpdata", None, b"made")
        assert not _put(run, _DATA, b"new data", b"new data")
    assert _files(folder) == {"project.qpproj": b"second", _DATA: b"new data", "data/2/data.qpdata": b"made"}
    restored = restore_last(folder)
    assert (restored.run, restored.command) == ("0001", "score")
    assert set(restored.files) == {_DATA, "project.qpproj", "data/2/data.qpdata"}
    assert _files(folder) == before
    assert not (folder / "data" / "2").exists()
    with pytest.raises(RunError, match="no run to undo"):
        restore_last(folder)


def test_runs_are_undone_one_after_another(folder: Path) -> None:
    for number in range(3):
        with Transaction(folder, f"run-{number}", "score") as run:
            _put(run, _DATA, (folder / _DATA).read_bytes(), b"state %d" % number)
    with pytest.raises(ProjectChangedError):
        restore_backup(folder, "run-0")
    states = []
    for _ in range(3):
        restore_last(folder)
        states.append((folder / _DATA).read_bytes())
    assert states == [b"state 1", b"state 0", b"old data"]


def test_undo_refuses_to_lose_a_later_change_and_then_changes_nothing(folder: Path) -> None:
    with Transaction(folder, "1", "score") as run:
        _put(run, "project.qpproj", b"old project", b"new project")
        _put(run, _DATA, b"old data", b"new data")
    (folder / _DATA).write_bytes(b"saved by a pathologist")
    with pytest.raises(ProjectChangedError, match="lose the change"):
        restore_last(folder)
    assert _files(folder) == {"project.qpproj": b"new project", _DATA: b"saved by a pathologist"}


def test_a_run_that_changed_nothing_is_not_what_undo_means(folder: Path) -> None:
    with Transaction(folder, "1", "score") as run:
        _put(run, _DATA, b"old data", b"new data")
    with Transaction(folder, "2", "score"):
        pass
    assert restore_last(folder).run == "1"


def test_a_removed_file_comes_back(folder: Path) -> None:
    with Transaction(folder, "1", "clear") as run:
        run.remove(_DATA, expected=digest(b"old data"))
    assert not (folder / _DATA).exists()
    restore_last(folder)
    assert (folder / _DATA).read_bytes() == b"old data"


def test_only_the_newest_backups_are_kept(folder: Path) -> None:
    for number in range(KEPT_RUNS + 3):
        with Transaction(folder, f"{number:03}", "score") as run:
            _put(run, _DATA, (folder / _DATA).read_bytes(), b"%d" % number)
    assert [backup.run_id for backup in list_backups(folder)] == [f"{n:03}" for n in range(3, KEPT_RUNS + 3)]


def test_a_file_changed_since_it_was_read_is_not_replaced(folder: Path) -> None:
    with Transaction(folder, "1", "score") as run, pytest.raises(ProjectChangedError):
        _put(run, _DATA, b"what was read", b"new")
    with Transaction(folder, "2", "score") as run, pytest.raises(ProjectChangedError):
        _put(run, _DATA, None, b"new")
    assert _files(folder) == {"project.qpproj": b"old project", _DATA: b"old data"}
    assert last_backup(folder) is None


def test_a_file_that_fails_its_check_is_never_published(folder: Path) -> None:
    def refuse(path: Path) -> None:
        assert path.read_bytes() == b"bad"
        assert path.parent == folder / "data" / "1"
        raise DataFileError("not what it should be")

    with Transaction(folder, "1", "score") as run, pytest.raises(DataFileError):
        run.publish(_DATA, expected=digest(b"old data"), write=lambda path: path.write_bytes(b"bad"), check=refuse)
    assert _files(folder) == {"project.qpproj": b"old project", _DATA: b"old data"}


@pytest.mark.parametrize("link", ["data/1", "data", "her2qp"])
def test_links_that_lead_out_of_the_project_are_not_written_through(folder: Path, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "data").rename(tmp_path / "moved")
    (folder / link).parent.mkdir(exist_ok=True)
    (folder / link).symlink_to(outside, target_is_directory=True)
    with pytest.raises(ProjectAccessError, match="out of the project"), Transaction(folder, "1", "score") as run:
        _put(run, _DATA, None, b"escaped")
    assert not list(outside.iterdir())


@pytest.mark.parametrize("run_id", ["", "..", "a/b", ".hidden", "a\\b", "x" * 101])
def test_a_run_id_cannot_lead_elsewhere(folder: Path, run_id: str) -> None:
    with pytest.raises(RunError):
        Transaction(folder, run_id, "score")
    with pytest.raises(RunError):
        restore_backup(folder, run_id)


@pytest.mark.parametrize(
    "relative", ["../victim", "data/1/../../../victim", "/etc/passwd", "data/x/data.qpdata", "a.py"]
)
def test_a_crafted_manifest_cannot_make_undo_touch_other_files(folder: Path, relative: str) -> None:
    victim = folder.parent / "victim"
    victim.write_bytes(b"precious")
    backup = folder / "her2qp" / "backups" / "1"
    backup.mkdir(parents=True)
    files = {relative: {"before": "absent", "contents": [file_digest(victim)]}}
    (backup / "manifest.json").write_text(json.dumps({"run": "1", "command": "", "started": "", "files": files}))
    with pytest.raises(RunError, match="damaged"):
        restore_backup(folder, "1")
    assert victim.read_bytes() == b"precious"
    assert list_backups(folder) == []


def test_a_damaged_backup_is_not_restored(folder: Path) -> None:
    with Transaction(folder, "1", "score") as run:
        _put(run, _DATA, b"old data", b"new data")
    (folder / "her2qp" / "backups" / "1" / _DATA).write_bytes(b"rotten")
    with pytest.raises(RunError, match="damaged"):
        restore_last(folder)
    assert (folder / _DATA).read_bytes() == b"new data"


# --- other processes ---


def _spawn(folder: Path, body: str) -> subprocess.Popen[str]:
    script = """
        import sys, time
        from pathlib import Path
        from her2qp.qupath.transaction import ProjectLock, Transaction
        folder = Path(sys.argv[1])
    """
    text = textwrap.dedent(script) + textwrap.dedent(body)
    process = subprocess.Popen(
        [sys.executable, "-c", text, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return process


@pytest.fixture
def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock."""
    process = _spawn(folder, "with ProjectLock(folder, 'score'):\n    print('held', flush=True)\n    time.sleep(60)\n")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_holds_the_lock(folder: Path, holder: subprocess.Popen[str]) -> None:
    try:
        with pytest.raises(ProjectLockedError, match=rf"her2qp score \(\w.*, process {holder.pid} on .*\) since 20"):
            Transaction(folder, "mine", "clear", wait_s=0.1).__enter__()
    finally:
        holder.kill()
        holder.wait()


def test_a_killed_holder_leaves_no_lock(folder: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    holder.wait()
    with Transaction(folder, "mine", "score") as run:
        assert _put(run, _DATA, b"old data", b"new data")


def test_waiting_for_the_lock(folder: Path) -> None:
    process = _spawn(folder, "with ProjectLock(folder, 'x'):\n    print('held', flush=True)\n    time.sleep(0.5)\n")
    assert process.stdout is not None
    process.stdout.readline()
    started = time.monotonic()
    with Transaction(folder, "mine", "score", wait_s=30):
        assert time.monotonic() - started < 30
    assert process.wait() == 0


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on file sizes")
def test_a_full_disk_leaves_everything_as_it_was(folder: Path) -> None:
    """The operating system refuses to write more than 1000 bytes to a file, as it would on a full disk."""
    before = _files(folder)
    process = _spawn(
        folder,
        """
        import hashlib, resource
        from her2qp.errors import ProjectAccessError
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        expected = hashlib.sha256(b"old data").hexdigest()
        try:
            with Transaction(folder, "1", "score") as run:
                run.publish("data/1/data.qpdata", expected=expected, write=lambda p: p.write_bytes(b"x" * 2000))
        except ProjectAccessError as error:
            print(error)
        """,
    )
    assert "larger than allowed" in process.communicate()[0]
    assert process.returncode == 0
    assert _files(folder) == before


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that a user without privileges can reach."""
    if not hasattr(os, "seteuid"):
        pytest.skip("needs users")
    folder = Path(tempfile.mkdtemp(prefix="her2qp-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write anywhere, so act as a user without privileges meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("locked", ["study", "study/data/1"])
def test_a_read_only_folder(unprivileged: Path, locked: str) -> None:
    (unprivileged / "study" / "data" / "1").mkdir(parents=True)
    folder = unprivileged / "study"
    (folder / _DATA).write_bytes(b"old data")
    for path in (folder, folder / "her2qp", folder / "data", folder / "data" / "1"):
        path.mkdir(exist_ok=True)
        path.chmod(0o777)
    if locked == "study":
        (folder / "her2qp").rmdir()
    (unprivileged / locked).chmod(0o555)
    refused = pytest.raises(ProjectAccessError, match="permission denied")
    with as_nobody(), refused, Transaction(folder, "1", "score") as run:
        _put(run, _DATA, b"old data", b"new data")
    assert _files(folder) == {_DATA: b"old data"}


# --- a kill at any step ---


def _kill_at(step: int) -> None:
    """Let this process be killed instead of making its `step`-th call that changes the disk."""
    count = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count >= step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in ("replace", "fsync", "unlink", "rmdir", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))


def _run(folder: Path) -> None:
    with Transaction(folder, "1", "score") as run:
        _put(run, _DATA, b"old data", b"new data")
        _put(run, "project.qpproj", b"old project", b"new project")
        _put(run, "data/2/data.qpdata", None, b"made")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("work", [_run, restore_last])
def test_killed_at_any_step_files_are_old_or_new_and_the_run_can_be_undone(
    folder: Path, work: Callable[[Path], object]
) -> None:
    after = {"project.qpproj": b"new project", _DATA: b"new data", "data/2/data.qpdata": b"made"}
    before = _files(folder)
    for step in range(1, 200):
        if work is restore_last:
            _run(folder)
        child = os.fork()
        if child == 0:
            _kill_at(step)
            work(folder)
            os._exit(0)
        finished = os.waitpid(child, 0)[1] == 0
        for relative, content in _files(folder).items():
            if not relative.endswith(".her2qp-tmp"):
                assert content in (before.get(relative), after[relative]), f"{relative} after step {step}"
        if last_backup(folder) is not None:
            restore_last(folder)
        for path in folder.rglob("*.her2qp-tmp"):
            path.unlink()
        assert _files(folder) == before, f"after step {step}"
        if finished:
            break
    assert finished
    assert step > 10
