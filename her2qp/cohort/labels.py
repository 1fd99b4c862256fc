"""What people write for a HER2 result, and which class it is.

ASCO/CAP: IHC 0 and 1+ are negative, 3+ is positive, and ISH decides a 2+. HER2-low is 1+, or 2+ without
amplification; ultralow is a part of IHC 0. ISH never overrules another IHC: a 3+ is positive without amplification,
and a 0 or 1+ with it is neither negative nor positive for sure.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from her2qp.errors import CohortError
from her2qp.scheme import Scheme

_GRADES = Scheme.GRADES.classes

_MISSING = {
    "", "na", "n/a", "nan", "nd", "none", "null", "unknown", "missing", "pending", "not available", "not evaluated",
    "not done", "not performed", "not applicable", "not tested", "not reported", "indeterminate", "-", "?", ".",
}  # fmt: skip

_ISH = r"(?:[fcds]|dual|bd)?ish"
_NOT_AMPLIFIED = r"(?:not?|non)[ -]*amplif\w*|negative|neg|unamplified"
_AMPLIFIED = r"amplif\w*|positive|pos"
_WORD = re.compile(
    rf"""
    (?P<ish_negative>{_ISH}\W{{0,3}}(?:{_NOT_AMPLIFIED})\b|{_ISH}[ :=(]*-(?!\s*\w)|\b(?:(?:not?|non)[ -]*|un)amplif\w*)
    |(?P<ish_positive>{_ISH}\W{{0,3}}(?:{_AMPLIFIED})\b|{_ISH}[ :=(]*\+|\bamplif\w*)
    |(?P<status_positive>\bher-?2(?:/?neu)?[ (]*\+(?![\d+])|\b(?:positive|pos)\b)
    |(?P<status_negative>\bher-?2(?:/?neu)?[ (]*-(?!\s*\w)|\b(?:negative|neg)\b)
    |(?P<filler>\bher-?2(?:/?neu)?\b|\berbb2\b|\b(?:ihc|immunohistochemistry|score|grade|status|category)(?![a-z]))
    |(?P<equivocal>\b(?:equivocal|borderline)\b)
    |(?P<ultralow>\bultra-?\s?low\b)|(?P<low>\blow\b)|(?P<zero>\bzero\b)
    |(?P<grade>(?<![\d.+])[0-3](?:\.0)?\s?\+?(?![\d.+]))|(?P<pluses>(?<!\+)\+{{2,3}}(?!\+))
    |(?P<joint>[\s:;,/()=_-]+)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a text says about HER2; None where it says nothing.

    Parameters
    ----------
    grade
        IHC grade: ``0``, ``1+``, ``2+`` or ``3+``.
    is_low
        Whether it says HER2-low.
    is_positive
        Overall status, where the text names it.
    is_amplified
        Result of ISH.
    """

    grade: str | None = None
    is_low: bool = False
    is_positive: bool | None = None
    is_amplified: bool | None = None


def class_of(text: str, scheme: Scheme, ish: str = "") -> str | None:
    """Say which class of a scheme a result is.

    Parameters
    ----------
    text
        As somebody wrote it: ``3+``, ``3``, ``+++``, ``IHC 3+``, ``score 3``, ``Positive``, ``HER2-low``,
        ``2+ (FISH-)``, ``Negative (1+)``.
    scheme
        Of the classes.
    ish
        Result of ISH, where it stands by itself: ``amplified``, ``FISH negative``, ``neg``. What cannot be read
        counts as unknown: a number might be a ratio or a code.

    Returns
    -------
    str or None
        The class; None if the text says that there is no result.

    Raises
    ------
    CohortError
        The text cannot be read, contradicts itself, or does not decide the class.

    Examples
    --------
    >>> class_of("IHC 3+", Scheme.GRADES), class_of("2+", Scheme.LOW, ish="not amplified")
    ('3+', 'low')
    """
    statement = read_statement(text)
    if statement is None:
        return None
    amplified = read_ish(ish) if statement.is_amplified is None else statement.is_amplified
    if scheme is Scheme.GRADES:
        found = statement.grade
    elif statement.grade in ("0", "1+") and amplified:
        raise CohortError(f"{text!r} contradicts its ISH result, which is positive")
    else:
        is_positive = _is_positive(statement, amplified)
        found = _group(statement, is_positive) if scheme is Scheme.LOW else _status(is_positive)
    if found is None:
        needs = "its ISH result" if statement.grade == "2+" else "more"
        raise CohortError(f"{text!r} does not say which of {', '.join(scheme.classes)} it is without {needs}")
    return found


def read_statement(text: str) -> Statement | None:
    """Read what a text says about HER2; None if it says that there is no result.

    Raises
    ------
    CohortError
        A part of it is not understood, or it contradicts itself.
    """
    plain = _plain(text)
    if plain in _MISSING:
        return None
    grades, statuses, amplifications, is_low, position = set(), set(), set(), False, 0
    while position < len(plain):
        word = _WORD.match(plain, position)
        if word is None:
            raise CohortError(f"{text!r} is not a HER2 result that can be read")
        match word.lastgroup:
            case "grade" | "pluses" | "zero" | "ultralow" | "equivocal":
                grades.add(_grade(word.lastgroup, word.group()))
            case "low":
                is_low = True
            case "status_positive" | "status_negative":
                statuses.add(word.lastgroup == "status_positive")
            case "ish_positive" | "ish_negative":
                amplifications.add(word.lastgroup == "ish_positive")
        position = word.end()
    statement = Statement(
        grade=next(iter(grades), None),
        is_low=is_low,
        is_positive=next(iter(statuses), None),
        is_amplified=next(iter(amplifications), None),
    )
    if any(len(said) > 1 for said in (grades, statuses, amplifications)) or _contradicts_itself(statement):
        raise CohortError(f"{text!r} contradicts itself")
    if statement == Statement():
        raise CohortError(f"{text!r} is not a HER2 result that can be read")
    return statement


def read_ish(text: str) -> bool | None:
    """Read a result of in-situ hybridisation: whether HER2 is amplified; None if the text does not say."""
    plain = re.sub(rf"\b(?:{_ISH}|her-?2(?:/?neu)?|status|result)\b", " ", _plain(text)).strip(" :=()[]")
    if plain == "-" or re.fullmatch(_NOT_AMPLIFIED, plain):
        return False
    return True if plain == "+" or re.fullmatch(_AMPLIFIED, plain) else None


def _plain(text: str) -> str:
    """Lower case, with one kind of blank, dash and plus, and without the brackets that mark what is missing."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = re.sub("[\u2010-\u2015\u2212]", "-", folded)
    return " ".join(folded.split()).strip("[]").strip()


def _grade(kind: str, text: str) -> str:
    if kind == "pluses":
        return f"{len(text)}+"
    if kind == "grade":
        return _GRADES[int(text[0])]
    return "2+" if kind == "equivocal" else "0"


def _contradicts_itself(statement: Statement) -> bool:
    grade, is_positive = statement.grade, statement.is_positive
    return (
        (grade in ("0", "1+") and is_positive is True)
        or (grade == "3+" and is_positive is False)
        or (statement.is_low and (grade in ("0", "3+") or is_positive is True or statement.is_amplified is True))
        or (
            grade == "2+"
            and None not in (is_positive, statement.is_amplified)
            and is_positive != statement.is_amplified
        )
    )


def _is_positive(statement: Statement, amplified: bool | None) -> bool | None:
    if statement.is_positive is not None:
        return statement.is_positive
    if statement.is_low or statement.grade in ("0", "1+"):
        return False
    return amplified if statement.grade in ("2+", None) else True


def _group(statement: Statement, is_positive: bool | None) -> str | None:
    if is_positive is None or is_positive:
        return None if is_positive is None else "positive"
    if statement.grade == "0":
        return "0"
    return "low" if statement.is_low or statement.grade is not None else None


def _status(is_positive: bool | None) -> str | None:
    return None if is_positive is None else Scheme.STATUS.classes[is_positive]


def scheme_of(values: list[str]) -> Scheme:
    """Say which scheme the values of a column of labels follow: the finest that they allow.

    Raises
    ------
    CohortError
        They follow none, or are bare zeros and ones, which may be grades or negative and positive.
    """
    refuse_bare_flags(values)
    for scheme in Scheme:
        try:
            for value in values:
                class_of(value, scheme)
        except CohortError:
            continue
        return scheme
    shown = ", ".join(sorted(set(values))[:8])
    raise CohortError(f"the labels are {shown}, not of one of these kinds: {Scheme.described()}")


def refuse_bare_flags(values: list[str]) -> None:
    """Refuse a column of nothing but ``0`` and ``1``.

    Raises
    ------
    CohortError
        Somebody may mean negative and positive by them, somebody else the grades 0 and 1+.
    """
    if {value.removesuffix(".0") for value in values if _plain(value) not in _MISSING} == {"0", "1"}:
        raise CohortError(
            "the labels are 0 and 1, which may be grades or negative and positive",
            remedy="Write 0 and 1+, or negative and positive.",
        )
