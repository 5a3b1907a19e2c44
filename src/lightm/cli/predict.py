"""lightm predict: segment an image with a trained network."""

import argparse
from pathlib import Path

from lightm.cli.parser import AddCommand
from lightm.cpu.cores import share_cores


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "predict",
        _run,
        "segment an image with a trained network",
        """\
Segment one image with the best weights of a run. PNG, JPEG and their like give a gray PNG, NIfTI
gives NIfTI in the same place in space; both have the image's own size and hold the label values
0, 1, ... (0 is the background), which an image viewer shows nearly black.

The image is resized to the training size and the answer back. With --sliding it keeps its
resolution and is looked at window by window: for networks trained at that resolution.""",
        """\
  lightm predict runs/smoke radiograph.png lungs.png
  lightm predict runs/phantom-ct scan.nii.gz liver.nii.gz --sliding""",
    )
    sub.add_argument("run_folder", type=Path, metavar="RUN", help="a folder that `lightm train` made")
    sub.add_argument("image", type=Path, metavar="IMAGE", help="the image to segment")
    sub.add_argument("out", type=Path, metavar="OUT", help="the label map to write (.png, .nii.gz)")
    sub.add_argument("--sliding", action="store_true", help="keep the resolution, predict window by window")
    sub.add_argument("--force", action="store_true", help="replace OUT if it is there already")


def _run(args: argparse.Namespace) -> None:
    share_cores()  # before torch is imported
    from lightm.inference import predict_file

    shares = predict_file(args.run_folder, args.image, args.out, sliding=args.sliding, force=args.force)
    found = ", ".join(f"{value} {name} {share:.1%}" for value, (name, share) in enumerate(shares.items()))
    print(f"{args.out}: {found}")
