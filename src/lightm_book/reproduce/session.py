"""One call of `lightm-book reproduce`: what is pending is made in order of value, as far as the time reaches."""

import time
from pathlib import Path

import torch

from lightm.data import load_dataset
from lightm.errors import LightMError
from lightm.training.interrupts import Interrupted
from lightm.training.provenance import hardware
from lightm_book.bench.progress import Report, on_stderr
from lightm_book.reproduce.pieces import XRAYS, make
from lightm_book.reproduce.plan import TRAINED, Piece
from lightm_book.reproduce.workshop import Status, Workshop

LEAST = 1.0  # minutes that a call must have: reading the data and loading the network take a part of it
MARGIN = 0.25  # minutes kept back at the end of a budget, for the last checkpoint and the scores of test cases


def check_device(device: str) -> None:
    """LightMError, saying what to do, unless the device is there."""
    if device == "cuda" and not torch.cuda.is_available():
        raise LightMError(
            "There is no NVIDIA GPU that PyTorch can use here: run this on a machine with one, try everything at "
            "a tiny size with --rehearse, or insist with --device cpu (days)."
        )


def reproduce(
    pieces: list[Piece],
    workshop: Workshop,
    device: str = "cuda",
    budget: float | None = None,
    data: Path | None = None,
    report: Report = on_stderr,
) -> bool:
    """Make the pending pieces; True once nothing is pending.

    budget: minutes for this call; a run that is not through then has a checkpoint, from which the next call goes on.
    data: the X-rays, packed or a folder, where they are not at the usual place.
    Pieces whose data set is not here are set aside, with a line that says so.
    LightMError: no such device, too small a budget, no data for any piece, a wrong scan; and, once the others are
    through, the runs that failed (out of memory, a loss that is not finite), which the next call tries again.
    """
    check_device(device)
    pieces = _with_data(pieces, data, report)
    if budget is not None and budget < LEAST:
        raise LightMError(f"--budget {budget:g} is too small to get anywhere: give at least {LEAST:g} minute.")
    end = None if budget is None else time.monotonic() + 60 * (budget - MARGIN)
    done, failed = 0, {}
    try:
        while (choice := _next([p for p in pieces if p.name not in failed], workshop, end)) is not None:
            piece, status = choice
            pending = sum(workshop.record(p) is None for p in pieces)
            report(f"{piece.name} ({pending} pending; {_expected(status)})")
            try:
                summary = make(piece, workshop, device, end, data, report)
                done += 1
            except (LightMError, torch.OutOfMemoryError) as error:
                if piece.kind == "check":
                    raise
                summary = failed[piece.name] = str(error).splitlines()[0]
            report(f"  {summary}")
    except Interrupted as stop:
        workshop.slim()
        if end is None or time.monotonic() < end:  # Ctrl-C
            raise
        report(f"  {stop} The time of this call is over; the next one goes on there.")
    left = [p for p in pieces if workshop.record(p) is None]
    report(f"{done} done in this call, {len(left)} pending" + (f"; next: {left[0].name}" if left else ""))
    if failed:
        raise LightMError("; ".join(f"{name} failed: {why}" for name, why in failed.items()))
    return not left


def _with_data(pieces: list[Piece], data: Path | None, report: Report) -> list[Piece]:
    """The pieces whose data set is here; for the others the reason is reported. LightMError if that is all of them."""
    absent: dict[str, LightMError] = {}
    for name, config in {piece.config.data.name: piece.config for piece in pieces if piece.config}.items():
        try:
            load_dataset(name, root=data if name == XRAYS else config.data.root or None, **config.data.options)
        except LightMError as error:
            absent[name] = error
    here = [piece for piece in pieces if not piece.config or piece.config.data.name not in absent]
    if not here and absent:
        raise next(iter(absent.values()))
    for error in absent.values():
        report(f"{len(pieces) - len(here)} pieces are set aside. {error}")
    return here


def _next(pieces: list[Piece], workshop: Workshop, end: float | None) -> tuple[Piece, Status] | None:
    """The piece to make now: one that was begun, else the most valuable that fits in the time, else the most valuable.

    A piece that fits is preferred, so that what a call leaves half done is one run at most.
    """
    left = float("inf") if end is None else (end - time.monotonic()) / 60
    if left <= 0:
        return None
    paces = workshop.paces(pieces, hardware())
    pending = [(p, s) for p in pieces if not (s := workshop.status(p, paces)).done]
    begun = [entry for entry in pending if entry[1].share > 0 or workshop.run_folder(entry[0]).exists()]
    fitting = [entry for entry in pending if entry[1].minutes <= left]
    trains = [entry for entry in pending if entry[0].kind in TRAINED]  # the others can't stop half way
    return next(iter([*begun, *fitting, *trains]), None)


def table(pieces: list[Piece], workshop: Workshop) -> str:
    """What `lightm-book reproduce --list` prints: a line a piece, and the sum."""
    paces = workshop.paces(pieces, hardware())
    rows, total = [], 0.0
    for piece in pieces:
        status = workshop.status(piece, paces)
        total += status.minutes
        state = "done" if status.done else f"{100 * status.share:.0f} % trained" if status.share else "pending"
        rows.append((piece.name, state, "" if status.done else _expected(status), piece.why))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
    pending = sum(row[1] != "done" for row in rows)
    return "\n".join([*lines, "", f"{len(rows) - pending} done, {pending} pending: about {total:.0f} minutes"])


def _expected(status: Status) -> str:
    """The minutes from here on; "~" where that is the plan's guess and not measured."""
    return f"{'' if status.measured else '~'}{max(status.minutes, 0.1):.1f} min"
