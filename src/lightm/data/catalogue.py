"""`lightm data show | fetch`: what a data set holds and on which terms, and how to get it."""

import os
from pathlib import Path
from typing import Any

from lightm.data import list_datasets, load_dataset
from lightm.data.check.report import describe
from lightm.errors import LightMError, suggest

_PLACES = {"montgomery-shenzhen": "cxr", "hippocampus": "Task04_Hippocampus", "lits": "Task03_Liver"}


def show_text(name: str, root: str | Path | None = None, options: dict[str, Any] | None = None) -> str:
    """What a data set holds, its source with licence and citation, and its normalisation. LightMError as in a check."""
    from lightm.data.check.named import check_dataset

    report = check_dataset(name, root, options)
    known = {info.name: info for info in list_datasets()}
    source = getattr(known[name].load(), "source", "") if name in known else "Your own files."
    lines = [
        f"{report.name} ({report.root})",
        *(f"  {line}" for line in describe(report.facts)),
        f"  source     {source}",
    ]
    if report.faults:
        lines.append(f"  {report.verdict()} (`lightm data verify {name}` lists them)")
    return "\n".join(lines)


def fetch(name: str, out: str | Path | None = None, archive: str | Path | None = None) -> str:
    """Get a data set's files and put them where its reader looks; returns the sentence to print.

    out: the folder to make (default: the usual one under LIGHTM_DATA). archive: a tar of the Decathlon, or a clone of
    the radiographs' repository, that is here already. LightMError if the set can't be fetched or `out` is in use.
    """
    from lightm.data import download

    if name not in _PLACES:
        synthetic = {info.name for info in list_datasets() if info.synthetic}
        if name in synthetic:
            raise LightMError(f"{name} is drawn by a program and needs no files: use it by its name.")
        raise LightMError(f"There is no data set {name!r} to fetch. {suggest(name, _PLACES)}")
    home = os.environ.get("LIGHTM_DATA")
    if out is None and not home:
        raise LightMError("LIGHTM_DATA is not set: type `export LIGHTM_DATA=FOLDER`, or name the folder with --out.")
    target = Path(out) if out is not None else Path(home or "", _PLACES[name])
    if target.exists() and any(target.iterdir()):
        raise LightMError(f"{target} is there already; `lightm data verify {name}` checks it, or name another --out.")
    given = None if archive is None else Path(archive)
    if name == "montgomery-shenzhen":
        download.build_xrays(given or download.fetch_xrays(), target)
    else:
        download.fetch_decathlon(_PLACES[name], target, given)
    source = next(info for info in list_datasets() if info.name == name).load().source
    return f"{target}: {len(load_dataset(name, root=target))} cases.\n{source}"
