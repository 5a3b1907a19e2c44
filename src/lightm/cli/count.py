"""lightm count: parameters and multiply-accumulates of a network."""

import argparse

from lightm.cli.parser import AddCommand, whole
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
    sub.add_argument("--size", type=whole(1), nargs="+", metavar="N", help="of the image: one number, or one per axis")
    channels = whole(1, 4096)
    sub.add_argument("--in-channels", type=channels, default=1, metavar="C", help="channels of the image (default: 1)")
    sub.add_argument("--out-channels", type=channels, default=2, metavar="K", help="classes, all of them (default: 2)")
    sub.add_argument("--depth", type=whole(0, 100), default=1, metavar="N", help="modules, N names deep (default: 1)")
    sub.add_argument("--json", action="store_true", help="print every module as JSON")
    sub.add_argument("--options", nargs="+", default=[], metavar="key=value", help="of the network, e.g. width=16")


def _run(args: argparse.Namespace) -> None:
    import torch

    from lightm.counting import count
    from lightm.training.config import config_from_dict
    from lightm.training.settings import parse_setting
    from lightm.training.task import Task, build_network

    size = args.size or [{2: 512, 3: 128}[args.dims]]
    if len(size) not in (1, args.dims):
        raise LightMError(f"--size has {len(size)} numbers; give one, or {args.dims} for --dims {args.dims}.")
    size = size * args.dims if len(size) == 1 else size
    options = dict(parse_setting(option) for option in args.options)
    with torch.device("meta"):  # shapes only: the largest networks take no memory
        config = config_from_dict({"model": {"name": args.model, "options": options}})
        classes = [str(k) for k in range(args.out_channels)]
        model = build_network(config, Task(args.dims, args.in_channels, classes, "zscore"))
    counted = count(model, (args.in_channels, *size))
    print(counted.to_json() if args.json else counted.table(args.depth))
