"""The command line: lightm info | train | count. What takes long to import is imported where it is used."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import lightm
from lightm.errors import LightMError

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes; 130 is a shell's own for Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what the user can put right is one line on stderr."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if args.command == "train":  # argparse takes no more key=value after an option: they are left over
        args.settings += [text for text in rest if not text.startswith("-") and "=" in text]
        rest = [text for text in rest if text not in args.settings]
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if args.command is None:
        parser.print_help()
        return 0
    try:
        args.run(args)
    except (LightMError, ValueError) as error:
        print(f"lightm: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as stop:
        print(f"lightm: {stop or 'stopped.'}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lightm",
        description="LightM-UNet (arXiv 2403.05246): train it, use it, measure it.",
        epilog="Begin with `lightm info`, then `lightm train experiments/smoke.toml`. Each command has a --help.",
    )
    parser.add_argument("--version", action="version", version=f"lightm {lightm.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, run, summary: str, text: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=summary,
            description=text,
            epilog=f"example:\n{example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    command(
        "info",
        _info,
        "what is installed, which scan backend runs, which data is there",
        "Show versions, hardware, scan backends (and why one does not run here), data sets and networks.",
        "  lightm info",
    )

    train = command(
        "train",
        _train,
        "train the network of a recipe and score it on held-out cases",
        """\
Train the network that a recipe (experiments/*.toml) describes. The run folder then holds

  config.toml  split.json      the recipe with every key, and which case was used for what
  last/  best/                 checkpoints: the newest, and the best on the validation cases
  log.csv  curves.png          one row an epoch, and their picture
  record.json                  everything measured, with the scores of each held-out test case

Ctrl-C stops after the current iteration and saves; --resume goes on from there (also after a
crash) and ends with the very weights that an uninterrupted run has.""",
        """\
  lightm train experiments/smoke.toml
  lightm train experiments/smoke.toml --out runs/wide train.epochs=3 model.options.width=32
  lightm train experiments/smoke.toml --resume""",
    )
    train.add_argument("recipe", type=Path, help="a file of experiments/, or a record of results/ to run again")
    train.add_argument(
        "settings", nargs="*", metavar="key=value", help="change a setting of the recipe, e.g. optim.lr=1e-4"
    )
    train.add_argument("--out", type=Path, metavar="DIR", help="the run folder to make (default: runs/NAME)")
    train.add_argument("--resume", action="store_true", help="go on with the run in that folder")

    count = command(
        "count",
        _count,
        "true parameters and multiply-accumulates of a network",
        "Count every parameter once and every multiply-accumulate (MAC) of one image's forward pass,\n"
        "the selective scan included. Nothing is computed: a 3D network takes no memory.",
        """\
  lightm count --model lightm-unet --dims 2 --size 512 --in-channels 3 --out-channels 2
  lightm count --model lightm-unet --dims 3 --size 128 128 64 --options width=16 d_state=8""",
    )
    count.add_argument("--model", required=True, metavar="NAME", help="a network of `lightm info`")
    count.add_argument("--dims", type=int, choices=(2, 3), default=2, help="spatial dimensions (default: 2)")
    count.add_argument("--size", type=int, nargs="+", metavar="N", help="image size: one number, or one an axis")
    count.add_argument("--in-channels", type=int, default=1, metavar="C", help="channels of the image (default: 1)")
    count.add_argument("--out-channels", type=int, default=2, metavar="K", help="classes with background (default: 2)")
    count.add_argument("--depth", type=int, default=1, metavar="N", help="modules are listed N names deep (default: 1)")
    count.add_argument("--json", action="store_true", help="print every module as JSON")
    count.add_argument("--options", nargs="+", default=[], metavar="key=value", help="of the network, e.g. width=16")
    return parser


def _info(args: argparse.Namespace) -> None:
    import torch

    from lightm.data import list_datasets, load_dataset
    from lightm.models import list_models
    from lightm.provenance import hardware, versions
    from lightm.scan import backends, choose_backend

    def table(title: str, rows: list[tuple[str, str]]) -> None:
        width = max(len(name) for name, _ in rows)
        print(title, *(f"  {name:<{width}}  {text}" for name, text in rows), "", sep="\n")

    table("versions", list(versions().items()))
    table("hardware", [(name, str(value)) for name, value in hardware().items() if value is not None])
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    chosen, why = choose_backend(torch.empty(0, device=device))
    rows = [
        (name, ("" if status.available else "not here: ") + status.reason) for name, status in backends(device).items()
    ]
    table(f"scan backends on {device} (in use: {chosen}; {why})", rows)

    rows = []
    for info in list_datasets():
        try:
            rows.append((info.name, f"{info.summary}; {len(load_dataset(info.name))} cases"))
        except LightMError as error:
            rows.append((info.name, f"{info.summary}; not found: {error}"))
    table("data sets", rows)
    table("networks", [(info.name, f"{info.summary} ({info.paper_section})") for info in list_models()])


def _train(args: argparse.Namespace) -> None:
    import logging

    from lightm.config import load_config
    from lightm.training import Trainer

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("lightm").setLevel(logging.INFO)
    config = load_config(args.recipe, args.settings)
    out = args.out or Path("runs") / config.name
    record = Trainer(config, out, resume=args.resume).fit()
    print(f"{out}: best validation DSC {record['best']['val_dsc']:.4f} in epoch {record['best']['epoch']}")
    for part, title in (("test", "test"), ("test_native", "test, native size")):
        if part in record:
            _print_scores(title, record[part]["summary"])


def _print_scores(title: str, summary: dict) -> None:
    per_class = summary["dsc"]["per_class"]
    classes = "" if len(per_class) == 1 else "  (DSC " + ", ".join(f"{k} {v:.4f}" for k, v in per_class.items()) + ")"
    scores = f"DSC {summary['dsc']['mean']:.4f}  IoU {summary['iou']['mean']:.4f}"
    print(f"{title}, {summary['cases']} cases: {scores}{classes}")


def _count(args: argparse.Namespace) -> None:
    from lightm.complexity import count
    from lightm.config import parse_setting
    from lightm.models import build_model

    size = args.size or [{2: 512, 3: 128}[args.dims]]
    if len(size) not in (1, args.dims):
        raise LightMError(f"--size has {len(size)} numbers; give one, or {args.dims} for --dims {args.dims}.")
    size = size * args.dims if len(size) == 1 else size
    options = dict(parse_setting(option) for option in args.options)
    model = build_model(args.model, args.dims, args.in_channels, args.out_channels, **options)
    counted = count(model, (args.in_channels, *size))
    print(counted.to_json() if args.json else counted.table(args.depth))
