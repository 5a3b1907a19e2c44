"""lightm export: a trained network outside of Python."""

import argparse
from pathlib import Path

from lightm.cli.parser import AddCommand


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "export",
        _run,
        "make one HTML file that runs a trained network in any browser",
        """\
Write the best network of a run as one self-contained HTML file. Opened from a disk, on a computer
or a phone and without a network, it takes a picture (file, drop, camera), outlines what the network
finds, and saves the mask. Nothing is sent anywhere. It can hold a LightM-UNet in 2D, with any options.""",
        """\
  lightm export runs/smoke --html lungs.html""",
    )
    sub.add_argument("run_folder", type=Path, metavar="RUN", help="a folder that `lightm train` made")
    sub.add_argument("--html", type=Path, metavar="FILE", required=True, help="the file to write (.html)")
    sub.add_argument(
        "--precision",
        default="float16",
        choices=("float16", "float32"),
        help="of the weights in the file; float32 doubles its size (default float16)",
    )
    sub.add_argument("--force", action="store_true", help="replace FILE if it is there already")


def _run(args: argparse.Namespace) -> None:
    from lightm.export import export_html

    path = export_html(args.run_folder, args.html, precision=args.precision, force=args.force)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser.")
