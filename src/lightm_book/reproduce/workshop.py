"""The folder in which the pieces are made. It is all that has to travel if the next call is on another machine.

records/NAME.json                 runs that are finished, as in results/runs/
records/rates/                    validation scores of runs by which a setting is chosen
records/bench/, records/checks/   timings and checks of the scan
begun/NAME/                       run folders with a checkpoint to go on from
finished/NAME/                    run folders with the best weights; can be left behind
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightm.errors import LightMError
from lightm.files import write_json
from lightm.training.checkpoint import find_checkpoint, load_state
from lightm.training.config import config_from_dict
from lightm.training.record import load_record
from lightm.training.run_folder import RECORD_FILE
from lightm_book.reproduce.plan import TRAINED, Piece

_PLACES = {"train": "", "tune": "rates", "check": "checks", "bench-scan": "bench", "bench-step": "bench"}
GOING_ON = ("last", "last.previous", "last.new", "best.previous", "best.new")


@dataclass(frozen=True)
class Status:
    """done: its record is there. share: how much of a run has been trained, 0 … 1. minutes: expected from here."""

    done: bool
    share: float
    minutes: float
    measured: bool  # whether minutes is more than the plan's guess


class Workshop:
    """The folder `out`, and beside it the records that the repository has already (`results`)."""

    def __init__(self, out: str | Path, results: Path | None = None):
        self.out, self.results = Path(out), results

    def record_path(self, piece: Piece) -> Path:
        """Where the record of a piece will be."""
        return self.out / "records" / _PLACES[piece.kind] / f"{piece.name}.json"

    def run_folder(self, piece: Piece) -> Path:
        """Where a training run that is not finished lies."""
        return self.out / "begun" / piece.name

    def record(self, piece: Piece) -> dict[str, Any] | None:
        """The record of a piece, from here or from results/; None if it is pending. Another recipe's counts as none."""
        places = [self.record_path(piece)]
        if self.results:
            places.append(self.results / (_PLACES[piece.kind] or "runs") / f"{piece.name}.json")
        for path in places:
            if not path.is_file():
                continue
            record = load_record(path) if piece.kind == "train" else json.loads(path.read_text(encoding="utf-8"))
            if piece.config is None:
                return record
            if not piece.config.difference(config_from_dict(record["config"])):
                return record
        return None

    def resumable(self, piece: Piece) -> bool:
        """Whether a run of this piece was begun. LightMError if the folder holds a run of another recipe."""
        folder = self.run_folder(piece)
        checkpoint = find_checkpoint(folder / "last")
        if checkpoint is None:
            return False
        changed = piece.config.difference(config_from_dict(load_state(checkpoint)["config"]))
        if changed:
            raise LightMError(
                f"{folder} was begun under another recipe: {changed}; move it away to begin {piece.name} afresh."
            )
        return True

    def status(self, piece: Piece, paces: dict[str, float]) -> Status:
        """How far a piece is; `paces`: measured minutes by pace, see `paces`."""
        if self.record(piece) is not None:
            return Status(True, 1.0, 0.0, True)
        share, spent = self._progress(piece)
        whole, measured = paces.get(piece.pace, piece.minutes), piece.pace in paces
        if share > 0.02:
            whole, measured = spent / share, True
        return Status(False, share, whole * (1 - share), measured)

    def paces(self, pieces: list[Piece], hardware: dict[str, Any]) -> dict[str, float]:
        """Minutes that pieces of each pace took on hardware like this; only of records that are from such."""
        found = {}
        for piece in pieces:
            record = self.record(piece)
            if record and record["environment"]["hardware"].get("gpu") == hardware.get("gpu"):
                seconds = record.get("cost", {}).get("wall_seconds") or record.get("seconds")
                if seconds:
                    found[piece.pace] = seconds / 60
        return found

    def finish(self, piece: Piece, record: dict[str, Any] | None = None) -> Path:
        """Keep the record of a run that has ended (its own, if none is given), put its folder aside, and drop what
        only served to go on.
        """
        folder, kept = self.run_folder(piece), self.out / "finished" / piece.name
        path = self.keep(piece, record or json.loads((folder / RECORD_FILE).read_text(encoding="utf-8")))
        for name in GOING_ON:
            shutil.rmtree(folder / name, ignore_errors=True)
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        os.rename(folder, kept)
        return path

    def keep(self, piece: Piece, record: dict[str, Any]) -> Path:
        """Write the record of a piece."""
        path = self.record_path(piece)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, path)
        return path

    def slim(self) -> None:
        """Drop what a clean stop leaves twice, so that what travels is small; a run that goes on needs `last` alone."""
        for folder in (self.out / "begun").glob("*/"):
            if (folder / "last").is_dir():
                for name in ("last.previous", "best.previous"):
                    shutil.rmtree(folder / name, ignore_errors=True)

    def _progress(self, piece: Piece) -> tuple[float, float]:
        """(share of the iterations that is trained, minutes spent on it)."""
        if piece.kind not in TRAINED or not self.resumable(piece):
            return 0.0, 0.0
        position = load_state(find_checkpoint(self.run_folder(piece) / "last"))["position"]
        epochs = piece.config.train.epochs
        steps = piece.config.train.iterations_per_epoch
        share = (position["epoch"] + (position["step"] / steps if steps else 0)) / epochs
        return share, position["wall_seconds"] / 60
