"""Which case is of which patient: from the names of the cases, or from a table beside them."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from lightm.errors import LightMError


def read_patients(root: Path, how: str, case_ids: Sequence[str]) -> dict[str, str]:
    """Case -> patient. how: a pattern with one group, searched for in the case's name; or FILE.csv in `root`.

    The table has a line of headings with `case` and `patient`. LightMError if either says nothing of a case: it would
    be torn from its patient without a word.
    """
    patients = _from_table(root, how) if how.lower().endswith(".csv") else _from_names(how, case_ids)
    unknown = [case for case in case_ids if not patients.get(case)]
    if unknown:
        raise LightMError(
            f"patient={how!r} names no patient for {len(unknown)} of {len(case_ids)} cases, e.g. {unknown[0]!r}; "
            "correct it."
        )
    return patients


def _from_names(pattern: str, case_ids: Sequence[str]) -> dict[str, str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise LightMError(f"patient={pattern!r} is no pattern ({error}); e.g. '^(p[0-9]+)_'.") from None
    if expression.groups != 1:
        raise LightMError(f"patient={pattern!r} must have one group in parentheses, the patient, e.g. '^(p[0-9]+)_'.")
    found = {case: expression.search(case) for case in case_ids}
    return {case: match.group(1) for case, match in found.items() if match and match.group(1)}


def _from_table(root: Path, name: str) -> dict[str, str]:
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise LightMError(f"patient={name!r} lies outside the data set's folder; put the table there.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"case", "patient"} <= set(rows.fieldnames or ()):
                raise LightMError(f"{path} has no columns called case and patient in its first line; name them so.")
            table = [(row["case"], row["patient"]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LightMError(f"Can't read {path} ({error}); it must be a table with the columns case, patient.") from None
    if len({case for case, _ in table}) < len(table):
        raise LightMError(f"{path} names a case in two lines; keep one of them.")
    return dict(table)
