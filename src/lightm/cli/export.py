"""lightm export: a trained network outside of this package."""

import argparse
from pathlib import Path

from lightm.cli.parser import AddCommand, add_run
from lightm.errors import LightMError


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "export",
        _run,
        "make one file that runs a trained network: in any browser, in onnxruntime, in PyTorch",
        """\
Write the best network of a run, of a weights file or of weights that come with the package as one file.

--html: a page. Opened from a disk, on a computer or a phone and without a network, it takes a
picture (file, drop, camera), outlines what the network finds, and saves the mask. Nothing is sent
anywhere. It can hold a LightM-UNet in 2D, with any options.
--onnx: a model that onnxruntime 1.26 or newer runs, 2D or 3D, any batch and any size that the
network takes; also the released networks. Needs: pip install "lightm[onnx]"
--pt2: the same networks as a program of torch.export, for CPUs; where it is loaded, lightm must be
installed: import lightm.export.pt2, then torch.export.load(FILE).
What goes in and what comes out stands in the metadata of both.
--weights: any run as one small file of float16 weights that every command here takes for RUN.
--bundle: a folder that MONAI's bundle commands check and run, any network in 2D or 3D.""",
        """\
  lightm export runs/smoke --html lungs.html
  lightm export runs/smoke --onnx lungs.onnx
  lightm export runs/smoke --pt2 lungs.pt2
  lightm export runs/smoke --weights lungs.safetensors
  lightm export runs/smoke --bundle lungs""",
    )
    add_run(sub)
    kind = sub.add_mutually_exclusive_group(required=True)
    for name, ending in (("html", "html"), ("onnx", "onnx"), ("pt2", "pt2"), ("weights", "safetensors")):
        kind.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"the file to write (.{ending})")
    kind.add_argument("--bundle", type=Path, metavar="DIR", help="the folder of a MONAI bundle to write")
    sub.add_argument(
        "--precision",
        choices=("float16", "float32"),
        help="of the weights in the file; float16 halves its size (default: float32 for --onnx, float16 otherwise)",
    )
    sub.add_argument("--force", action="store_true", help="replace FILE if it is there already")


def _run(args: argparse.Namespace) -> None:
    from lightm.export import export_bundle, export_html, export_onnx, export_pt2, export_weights

    options = {"force": args.force} | ({"precision": args.precision} if args.precision else {})
    if args.bundle and args.precision:
        raise LightMError("The weights in a bundle stay as they are: leave --precision out.")
    if args.bundle:
        path = export_bundle(args.run_folder, args.bundle, args.force)
        print(f"{path}: a MONAI bundle; its docs/README.md says how to run it.")
        return
    if args.html:
        path, use = export_html(args.run_folder, args.html, **options), "open it in a browser"
    elif args.onnx:
        path, use = export_onnx(args.run_folder, args.onnx, **options), "onnxruntime runs it, its metadata says how"
    elif args.weights:
        path, use = export_weights(args.run_folder, args.weights, **options), "give it in the place of a run folder"
    elif args.precision:
        raise LightMError("The weights in a .pt2 file stay as they are: leave --precision out.")
    else:
        path, use = export_pt2(args.run_folder, args.pt2, **options), "load it after `import lightm.export.pt2`"
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; {use}.")
