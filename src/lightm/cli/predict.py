"""lightm predict: segment images with a trained network."""

import argparse
import sys
from pathlib import Path

from lightm.cli.parser import AddCommand, add_run
from lightm.cpu.cores import share_cores


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "predict",
        _run,
        "segment an image, or a folder of them, with a trained network",
        """\
Segment images with the best weights of a run, or with a weights file. PNG, JPEG and their like give
a gray PNG; volumes (NIfTI, a folder with one DICOM series, MHA, NRRD) give NIfTI in the same place
in space. Both have the image's own size and hold the label values 0, 1, ... (0 is the background),
which an image viewer shows nearly black.

Where each channel has a file of its own, name all of them, or CASE_0000 and the others are found.
A folder gives a folder, whose predictions.json says what was made with which weights; stopped and
started again, the command goes on where it was.

The image is resized to the training size and the answer back. With --sliding it keeps its
resolution and is looked at window by window: for networks trained at that resolution. One that was
trained on patches always does so.""",
        """\
  lightm predict runs/smoke radiograph.png lungs.png
  lightm predict runs/phantom-ct scan.nii.gz liver.nii.gz --sliding
  lightm predict runs/phantom-ct imagesTs livers
  lightm predict runs/two t1_0000.nii.gz t1_0001.nii.gz tumour.nii.gz --probabilities""",
    )
    add_run(sub)
    sub.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="an image, its channels, or a folder")
    sub.add_argument("out", type=Path, metavar="OUTPUT", help="the label map to write (.png, .nii.gz), or a folder")
    sub.add_argument("--sliding", action="store_true", help="keep the resolution, predict window by window")
    sub.add_argument("--probabilities", action="store_true", help="also write OUTPUT_probabilities (.tif, .nii.gz)")
    sub.add_argument("--force", action="store_true", help="replace what is there already")


def _run(args: argparse.Namespace) -> None:
    share_cores()  # before torch is imported
    from tqdm import tqdm

    from lightm.inference import predict
    from lightm.training.logs import CaseProgress

    done = 0

    def report(path: str, shares: dict[str, float] | None) -> None:
        nonlocal done
        done += 1
        found = ", ".join(f"{value} {name} {share:.1%}" for value, (name, share) in enumerate((shares or {}).items()))
        tqdm.write(f"{path}: {found or 'is there already'}")  # above the bar
        sys.stdout.flush()

    progress = CaseProgress("predicting", unit="")
    try:
        left_out = predict(
            args.run_folder, args.inputs, args.out, args.sliding, args.force, args.probabilities, progress, report
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Stopped with {done} file(s) written; the same command goes on.") from None
    if left_out:
        some = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
        print(f"lightm: {len(left_out)} file(s) there are no image that can be read: {some}", file=sys.stderr)
