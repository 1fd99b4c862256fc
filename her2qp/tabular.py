"""Tables that people keep in CSV or Excel, as columns of text."""

from __future__ import annotations

import csv
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import Her2qpError

Column = NDArray[np.str_] | NDArray[np.float64]

_LARGEST_BYTES = 256 << 20
_MOST_CELLS = 20_000_000
"""A small file can claim millions of empty cells."""
_EXCEL = (".xlsx", ".xlsm")
_DELIMITERS = ",;\t"


def read_columns(file: Path, error: type[Her2qpError]) -> dict[str, list[str]]:
    """Read a table with a heading.

    Parameters
    ----------
    file
        Excel (the first sheet) if the name ends in ``.xlsx`` or ``.xlsm``; else CSV in UTF-8, with commas, semicolons
        or tabs.
    error
        What to raise.

    Returns
    -------
    dict
        The values of each column, as text without blanks around it; empty where there is none.

    Raises
    ------
    Her2qpError
        Of the class `error`: the file cannot be read or is no table, or openpyxl is not installed for one in Excel.
    """
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise error(f"the table is larger than {_LARGEST_BYTES >> 20} MiB", where=file)
        rows = _excel_rows(file, error) if file.suffix.lower() in _EXCEL else _csv_rows(file, error)
    except OSError as problem:
        raise error(f"the table cannot be read ({problem.strerror or problem})", where=file) from problem
    rows = [[value.strip() for value in row] for row in rows]
    heading, *rows = [row for row in rows if any(row)] or [[]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(heading):
            raise error(f"row {number} has {len(row)} values, the heading {len(heading)}", where=file)
    columns = [(name, [row[k] for row in rows]) for k, name in enumerate(heading)]
    named = [(name, values) for name, values in columns if name or any(values)]
    twice = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
    if twice:
        what = f"two columns are called {twice[0]!r}" if twice[0] else "the first row does not name every column"
        raise error(what, where=file)
    return dict(named)


def as_column(values: Sequence[str]) -> Column:
    """Take values for numbers where all of them are numbers or empty (NaN), else for text; shape (n,)."""
    try:
        return np.array([float(value or "nan") for value in values])
    except ValueError:
        return np.array(values, np.str_)


def write_columns(file: Path, columns: Iterable[tuple[str, Sequence[str]]], error: type[Her2qpError]) -> None:
    """Write columns of text as CSV.

    Raises
    ------
    Her2qpError
        Of the class `error`: the file cannot be written.
    """
    names, values = zip(*columns, strict=True)
    try:
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(names)
            writer.writerows(zip(*values, strict=True))
    except OSError as problem:
        raise error(f"the table cannot be written ({problem.strerror})", where=file) from problem


def _csv_rows(file: Path, error: type[Her2qpError]) -> list[list[str]]:
    if file.suffix.lower() == ".xls":
        raise error("tables of Excel 97 are not read", where=file, remedy="Save it as .xlsx or CSV.")
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            heading = opened.readline()
            opened.seek(0)
            reader = csv.reader(opened, delimiter=max(_DELIMITERS, key=heading.count), strict=True)
            return _bounded(reader, file, error)
    except UnicodeDecodeError as problem:
        raise error("this is not a table in CSV with UTF-8", where=file, remedy="Save it as CSV UTF-8.") from problem
    except csv.Error as problem:
        raise error(f"this is not a table in CSV: {problem}", where=file) from problem


def _excel_rows(file: Path, error: type[Her2qpError]) -> list[list[str]]:
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise error(
            "Excel tables need the package openpyxl",
            where=file,
            remedy='Install it with `pip install "her2qp[excel]"`, or save the table as CSV.',
        ) from None
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(part.file_size for part in archive.infolist()) > 4 * _LARGEST_BYTES:
                raise error(f"the table is larger than {4 * _LARGEST_BYTES >> 20} MiB when unpacked", where=file)
        with _first_sheet(file, data_only=True) as sheet:
            rows = _padded(_bounded(_excel_texts(sheet), file, error), file, error)
        if not all(map(all, rows)):
            with _first_sheet(file, data_only=True) as values, _first_sheet(file, data_only=False) as formulas:
                _refuse_uncomputed(values, formulas, file, error)
        return rows
    except (Her2qpError, OSError):
        raise
    # openpyxl has no error of its own for a damaged workbook: whatever its XML and zip readers meet comes through.
    except Exception as problem:
        raise error(f"the Excel file cannot be read ({type(problem).__name__}: {problem})", where=file) from problem


@contextmanager
def _first_sheet(file: Path, *, data_only: bool) -> Iterator[Iterable[Sequence[object]]]:
    """Rows of the first sheet: what formulas gave when they were last computed, or the formulas themselves."""
    from openpyxl import load_workbook

    workbook = load_workbook(file, read_only=True, data_only=data_only)
    try:
        sheet = workbook.worksheets[0]
        sheet.reset_dimensions()  # those that the file claims may be huge
        yield sheet.iter_rows(values_only=True)
    finally:
        workbook.close()


def _refuse_uncomputed(
    values: Iterable[Sequence[object]], formulas: Iterable[Sequence[object]], file: Path, error: type[Her2qpError]
) -> None:
    for number, (row, texts) in enumerate(zip(values, formulas, strict=True), start=1):
        for value, text in zip(row, texts, strict=True):
            if value is None and isinstance(text, str) and text.startswith("="):
                raise error(
                    f"row {number} has a formula that was never computed: {text:.60}",
                    where=file,
                    remedy="Open the table in Excel or LibreOffice and save it.",
                )


def _excel_texts(rows: Iterable[Sequence[object]]) -> Iterator[list[str]]:
    """Rows as text, each up to its last cell that holds something."""
    for row in rows:
        texts = [*map(_cell_text, row)]
        while texts and not texts[-1]:
            texts.pop()
        yield texts


def _bounded(rows: Iterable[list[str]], file: Path, error: type[Her2qpError]) -> list[list[str]]:
    """Rows that hold something, as long as memory is sure to hold them."""
    kept, cells = [], 0
    for row in rows:
        cells += len(row)
        if cells > _MOST_CELLS:
            raise error(f"the table has more than {_MOST_CELLS:,} cells", where=file)
        if row:
            kept.append(row)
    return kept


def _padded(rows: list[list[str]], file: Path, error: type[Her2qpError]) -> list[list[str]]:
    width = max(map(len, rows), default=0)
    if width * len(rows) > _MOST_CELLS:
        raise error(f"the table has more than {_MOST_CELLS:,} cells", where=file)
    return [row + [""] * (width - len(row)) for row in rows]


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
