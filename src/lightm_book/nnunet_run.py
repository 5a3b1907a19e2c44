"""The bridge to nnU-Net v2, end to end: its own commands plan, train, predict and score, and `lightm` scores again.

    python -m lightm_book.nnunet_run --data FOLDER --json results/nnunet.json

FOLDER is the Decathlon's Task04_Hippocampus. The commands are those of .venv-nnunet, which `make nnunet` makes. Small
on purpose, so that a CPU does it in minutes: it shows that the parts fit, and its scores say nothing about a network.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from lightm.errors import LightMError
from lightm.files import write_json
from lightm_book import ROOT

ENVIRONMENT = ROOT / ".venv-nnunet"
DATASET = "Dataset004_Hippocampus"
SPLIT = ROOT / "src/lightm/recipes/splits/hippocampus-seed0.json"
PROVENANCE = """
import json
from importlib.metadata import version
from lightm.training.provenance import environment
found = environment()
found["versions"] |= {name: version(name) for name in ("nnunetv2", "dynamic-network-architectures")}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Training:
    """A network to train by nnU-Net: its options, nnU-Net's configuration and trainer, how long (for our trainer)."""

    model: str
    configuration: str
    options: tuple[str, ...]
    trainer: str = "nnUNetTrainerLightM"
    epochs: int = 1
    iterations: int = 40


TRAININGS = (
    Training("lightm-unet", "3d_fullres", ("width=4", "depths=[1,1,1]", "bottleneck_depth=1")),
    Training("lightm-unet-released-2024-03-29", "2d", ("width=8", "blocks_down=[1,1,1,1]")),
    Training("u-mamba-bot", "2d", ("width=4",)),
)


class Session:
    """A folder in which nnU-Net works, with the variables that its commands and ours need."""

    def __init__(self, folder: Path, environment: Path = ENVIRONMENT):
        self.bin = environment / "bin"
        if not (self.bin / "nnUNetv2_train").is_file():
            raise LightMError(f"nnU-Net is not installed in {environment}: run `make nnunet` first.")
        self.raw, self.preprocessed, self.results = (folder / name for name in ("raw", "preprocessed", "results"))
        self.variables = os.environ | {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
            "nnUNet_n_proc_DA": "0",  # augmentation in the process that trains
            "nnUNet_def_n_proc": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.variables["nnUNet_extTrainer"] = self("lightm", "nnunet", "path").strip()

    def __call__(self, *command: str, **variables: str) -> str:
        """What a command prints; LightMError with its last lines if it fails."""
        words = [str(self.bin / command[0]), *map(str, command[1:])]
        done = subprocess.run(words, env=self.variables | variables, capture_output=True, text=True)
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise LightMError(f"{' '.join(map(str, command))} failed:\n{last}")
        return done.stdout


def lay_out(source: Path, raw: Path, train: Sequence[str], test: Sequence[str]) -> str:
    """Copy cases of a Decathlon folder into nnU-Net's layout under `raw`; returns a hash of the files and names."""
    digest, folder = hashlib.sha256(), raw / DATASET
    for part, cases in (("Tr", train), ("Ts", test)):
        for kind, channel in (("images", "_0000"), ("labels", "")):
            (folder / f"{kind}{part}").mkdir(parents=True)
            for case in cases:
                original = source / f"{kind}Tr" / f"{case}.nii.gz"
                shutil.copy(original, folder / f"{kind}{part}" / f"{case}{channel}.nii.gz")
                digest.update(f"{kind}{part}/{case}".encode() + hashlib.sha256(original.read_bytes()).digest())
    described = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "anterior": 1, "posterior": 2},
        "numTraining": len(train),
        "file_ending": ".nii.gz",
    }
    write_json(described, folder / "dataset.json")
    return digest.hexdigest()


def plan(session: Session, configurations: Sequence[str]) -> None:
    """nnU-Net plans for one gigabyte, which makes batches small, and preprocesses."""
    common = ("-d", "4", "-np", *["1"] * len(configurations), "-c", *configurations)
    memory = ("-gpu_memory_target", "1", "-npfp", "1")
    session("nnUNetv2_plan_and_preprocess", *common, *memory, "--verify_dataset_integrity", nnUNet_n_proc_DA="1")


def train_and_score(session: Session, training: Training) -> dict[str, Any]:
    """Plan a network by `lightm nnunet`, train and predict by nnU-Net, score the predictions by both."""
    names = DATASET, training.configuration
    session("lightm", "nnunet", "plans", DATASET, "--model", training.model, "--options", *training.options)
    plans = f"nnUNetPlans_{training.model}"
    chosen = ("-tr", training.trainer, "-p", plans)
    short = {"LIGHTM_NNUNET_EPOCHS": str(training.epochs), "LIGHTM_NNUNET_ITERATIONS": str(training.iterations)}
    session("nnUNetv2_train", *names, "0", *chosen, "-device", "cpu", **short)
    images = session.raw / DATASET / "imagesTs"
    out = session.results / f"predicted-{training.model}"
    where = ("-i", images, "-o", out, "-d", DATASET, "-c", training.configuration, "-f", "0")
    session("nnUNetv2_predict", *where, *chosen, "-device", "cpu", "-npp", "1", "-nps", "1", "--disable_tta")
    settings = json.loads((out / "plans.json").read_text())["configurations"][training.configuration]
    return {
        **asdict(training),
        "patch_size": settings["patch_size"],
        "batch_size": settings["batch_size"],
        **score_by_both(session, out),
    }


def score_by_both(session: Session, masks: Path) -> dict[str, Any]:
    """{"cases": see `compare`, "largest_difference"} of a folder of masks of the cases that were set aside."""
    labels, ours = session.raw / DATASET / "labelsTs", masks.with_suffix(".json")
    theirs = masks.with_suffix(".nnunet.json")
    session("nnUNetv2_evaluate_simple", labels, masks, "-l", "1", "2", "-o", theirs, "-np", "1")
    session("lightm", "evaluate", "--predictions", masks, "--labels", labels, "--json", ours)
    cases = compare(json.loads(theirs.read_text()), json.loads(ours.read_text()))
    pairs = [pair for case in cases for pair in zip(case["nnunet"], case["lightm"], strict=True)]
    return {"cases": cases, "largest_difference": max(abs(a - b) for a, b in pairs)}


def moved_labels(session: Session) -> Path:
    """A folder with the true masks moved by two voxels: predictions that are neither right nor beside everything."""
    out = session.results / "moved"
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted((session.raw / DATASET / "labelsTs").iterdir()):
        label = nibabel.load(path)
        values = np.roll(np.asarray(label.dataobj), 2, axis=0).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(values, label.affine), out / path.name)
    return out


def compare(theirs: dict[str, Any], ours: dict[str, Any]) -> list[dict[str, Any]]:
    """Per case the DSC, then the IoU, of each class as nnU-Net and as `lightm evaluate` give them."""
    scores = {case["case"]: case["scores"] for case in ours["cases"]}
    found = []
    for case in theirs["metric_per_case"]:
        name = Path(case["reference_file"]).name.removesuffix(".nii.gz")
        values = [(case["metrics"][value], scores[name][label]) for value, label in ours["classes"].items()]
        pairs = [(a[theirs_], b[ours_]) for theirs_, ours_ in (("Dice", "dsc"), ("IoU", "iou")) for a, b in values]
        found.append({"case": name, "nnunet": [a for a, _ in pairs], "lightm": [b for _, b in pairs]})
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """The run that results/nnunet.json records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder Task04_Hippocampus")
    parser.add_argument("--json", type=Path, required=True, help="the record to write")
    parser.add_argument("--cases", type=int, nargs=2, default=(10, 4), help="how many to train with, and to predict")
    parser.add_argument("--iterations", type=int, default=40, help="of each training (40)")
    args = parser.parse_args(argv)
    split = json.loads(SPLIT.read_text("utf-8"))
    train, test = split["train"][: args.cases[0]], split["test"][: args.cases[1]]
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder))
        environment = json.loads(session("python", "-c", PROVENANCE))  # first: the commit that is about to run
        data = lay_out(args.data, session.raw, train, test)
        plan(session, sorted({training.configuration for training in TRAININGS}))
        record = {
            "schema": 1,
            "name": "nnunet-hippocampus",
            "data": {"name": "hippocampus", "sha256": data, "train": train, "test": test},
            "moved_labels": score_by_both(session, moved_labels(session)),
            "trainings": [],
            "environment": environment,
        }
        for one in TRAININGS:
            done = train_and_score(session, replace(one, iterations=args.iterations))
            record["trainings"].append(done)
            record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
            write_json(record, args.json)  # each of them counts, if the next one is stopped
            print(f"{one.model}, {one.configuration}: largest difference {done['largest_difference']:.1g}", flush=True)


if __name__ == "__main__":
    main()
