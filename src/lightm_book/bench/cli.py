"""lightm-book bench: our scan and our networks timed beside others' software."""

import argparse
import os
import shlex
from pathlib import Path
from typing import Any

from lightm.cli.parser import AddCommand
from lightm.errors import LightMError


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    bench = command(
        "bench",
        lambda args: bench.error("say what to time: scan or step"),
        "time the scan, or a training step, beside other software",
        """\
Time and peak memory of the selective scan (scan), or of a training step of a network (step), ours
beside every other implementation that is installed here. Results are compared before anything is
timed; contenders take turns in one process, and medians count.""",
        """\
  lightm-book bench scan
  lightm-book bench scan --peers --shape 1,64,65536,16 --json scan.json
  lightm-book bench step --model lightm-unet --size 256 256 --peers mamba.py""",
    )
    kinds = bench.add_subparsers(metavar="WHAT", title="what to time")
    scan = kinds.add_parser(
        "scan",
        help="the selective scan",
        description="Time the selective scan: every backend that can run here, and peers.",
        epilog="""\
examples:
  lightm-book bench scan --shape 1,64,1024,16 --shape 1,64,4096,16 --forward-only
  lightm-book bench scan --peers mamba.py serial-c --threads 1""",
    )
    scan.add_argument(
        "--shape", action="append", default=[], metavar="B,D,L,N", help="batch, channels, tokens, states; repeatable"
    )
    scan.add_argument("--no-time", dest="time", action="store_false", help="peak memory only")
    scan.add_argument("--forward-only", action="store_true", help="leave out the backward pass")
    _common(scan, repeats=7, patience=20, backend="of this package, by name (default: all that can run)")
    scan.set_defaults(run=_scan, parser=scan, keep_memory=False)  # it measures either way

    step = kinds.add_parser(
        "step",
        help="a training step of a network",
        description="Time a whole training step of a network: as it comes, on another backend, and on peers' scans.",
        epilog="""\
examples:
  lightm-book bench step --size 128 --batch 4
  lightm-book bench step --model lightm-unet-1m --size 32 32 32 --peers mamba.py --json step.json""",
    )
    step.add_argument("--model", default="lightm-unet", metavar="NAME", help="a network of `lightm info`")
    step.add_argument("--size", type=int, nargs="+", default=[256, 256], metavar="N", help="image size, an axis each")
    step.add_argument("--batch", type=int, default=1, metavar="N", help="images a step (default: 1)")
    step.add_argument("--options", nargs="+", default=[], metavar="key=value", help="of the network, e.g. width=16")
    step.add_argument("--no-parts", dest="parts", action="store_false", help="leave out the time by part")
    _common(step, repeats=5, patience=60, backend="to compare with, by name (default: chunked)")
    step.set_defaults(run=_step, parser=step, keep_memory=False)


def _common(parser: argparse.ArgumentParser, repeats: int, patience: int, backend: str) -> None:
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="other software: all that is installed, or by name")
    parser.add_argument("--backend", action="append", metavar="NAME", help=f"{backend}; repeatable")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: torch's own)")
    parser.add_argument(
        "--repeats", type=int, default=repeats, metavar="N", help=f"samples of each (default: {repeats})"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=patience,
        metavar="SECONDS",
        help=f"what one contender may take at a time (default: {patience})",
    )
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out the peak memory")
    parser.add_argument(
        "--keep-freed-memory", action="store_true", help="as lightm's other commands do; for every contender"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to this file")


def _scan(args: argparse.Namespace) -> None:
    from lightm_book.bench.inputs import Shape

    shapes = [Shape.parse(text) for text in args.shape]
    common = _checked(args)

    from lightm_book.bench.scan import DEFAULT_SHAPES, bench_scan

    record = bench_scan(
        shapes or DEFAULT_SHAPES, backends=args.backend, forward_only=args.forward_only, time=args.time, **common
    )
    _finish(record, args)


def _step(args: argparse.Namespace) -> None:
    from lightm.training.settings import parse_setting

    if len(args.size) not in (1, 2, 3) or min(args.size) < 1 or args.batch < 1:
        raise LightMError("--size is one to three whole numbers above 0, and --batch one.")
    options = dict(parse_setting(option) for option in args.options)
    common = _checked(args)

    from lightm_book.bench.step import bench_step

    size = args.size * 2 if len(args.size) == 1 else args.size
    backends = args.backend or ("chunked",)
    record = bench_step(args.model, size, args.batch, backends=backends, parts=args.parts, **common, **options)
    _finish(record, args)


def _checked(args: argparse.Namespace) -> dict[str, Any]:
    """What both benchmarks take, once it is clear that nothing will be measured in vain."""
    if args.repeats < 1 or not args.patience > 0 or (args.threads is not None and args.threads < 1):
        raise LightMError("--repeats and --threads are whole numbers above 0, and --patience a number above 0.")
    if args.json and (args.json.is_dir() or not os.access(args.json.parent, os.W_OK)):
        raise LightMError(f"{args.json} can't be written; name a file in a folder that is there and is yours.")
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    return {
        "device": args.device,
        "peer_names": () if args.peers is None else args.peers or None,
        "repeats": args.repeats,
        "patience": args.patience,
        "memory": args.memory,
        "keep_freed_memory": args.keep_freed_memory,
    }


def _finish(record: dict[str, Any], args: argparse.Namespace) -> None:
    from lightm.files import write_json
    from lightm_book.bench.tables import bench_table

    place = {str(args.json), f"--json={args.json}"}  # where on this machine it goes is nobody's business
    record["command"] = shlex.join(
        ["lightm-book", *(word for word in args.typed if word != "--json" and word not in place)]
    )
    if args.json:
        write_json(record, args.json)
    print(bench_table(record))
