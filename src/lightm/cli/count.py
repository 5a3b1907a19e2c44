"""lightm count: parameters and multiply-accumulates of a network."""

import argparse

from lightm.cli.parser import AddCommand
from lightm.errors import LightMError


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "count",
        _run,
        "true parameters and multiply-accumulates of a network",
        "Count every parameter once and every multiply-accumulate (MAC) of one image's forward pass,\n"
        "the selective scan included. Nothing is computed: a 3D network takes no memory.",
        """\
  lightm count --model lightm-unet --dims 2 --size 512 --in-channels 3 --out-channels 2
  lightm count --model lightm-unet --dims 3 --size 128 128 64 --options width=16 d_state=8""",
    )
    sub.add_argument("--model", metavar="NAME", required=True, help="a network of `lightm info`")
    sub.add_argument("--dims", type=int, choices=(2, 3), default=2, help="spatial dimensions (default: 2)")
    sub.add_argument("--size", type=int, nargs="+", metavar="N", help="image size: one number, or one an axis")
    sub.add_argument("--in-channels", type=int, default=1, metavar="C", help="channels of the image (default: 1)")
    sub.add_argument("--out-channels", type=int, default=2, metavar="K", help="classes with background (default: 2)")
    sub.add_argument("--depth", type=int, default=1, metavar="N", help="modules are listed N names deep (default: 1)")
    sub.add_argument("--json", action="store_true", help="print every module as JSON")
    sub.add_argument("--options", nargs="+", default=[], metavar="key=value", help="of the network, e.g. width=16")


def _run(args: argparse.Namespace) -> None:
    import torch

    from lightm.counting import count
    from lightm.models import build_model
    from lightm.training.config import parse_setting

    size = args.size or [{2: 512, 3: 128}[args.dims]]
    if len(size) not in (1, args.dims):
        raise LightMError(f"--size has {len(size)} numbers; give one, or {args.dims} for --dims {args.dims}.")
    size = size * args.dims if len(size) == 1 else size
    options = dict(parse_setting(option) for option in args.options)
    with torch.device("meta"):  # shapes only: the largest networks take no memory
        model = build_model(args.model, args.dims, args.in_channels, args.out_channels, **options)
    counted = count(model, (args.in_channels, *size))
    print(counted.to_json() if args.json else counted.table(args.depth))
