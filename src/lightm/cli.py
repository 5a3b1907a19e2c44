"""The command line: lightm info | train | predict | evaluate | count. What is slow to import is imported where used."""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import lightm
from lightm.errors import LightMError, suggest

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes; 130 is a shell's own for Ctrl-C


class _Parser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong, without the usage."""

    def __init__(self, **options: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:].rstrip(".") + ("" if message.endswith("?") else ".")
        raise LightMError(f"{sentence} See `{self.prog} --help`.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what the user can put right is one line on stderr."""
    try:
        args = _arguments(list(sys.argv[1:] if argv is None else argv))
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `lightm info | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror or error}.")
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise  # a bug, and its traceback is what we need to know
        first = (str(error).splitlines() or ["No more memory."])[0]
        return _complain(f"{first} Use smaller batches (train.batch_size, eval.batch_size) or a smaller data.size.")
    except ValueError as error:  # LightMError is one
        return _complain(str(error))
    except KeyboardInterrupt as stop:
        print(f"lightm: {stop or 'Stopped.'}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _complain(sentence: str) -> int:
    print(f"lightm: {sentence}", file=sys.stderr)
    return BAD_INPUT


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser, commands = _parsers()
    if not argv:
        parser.print_help(sys.stderr)
        raise SystemExit(BAD_INPUT)
    named = next((text for text in argv if not text.startswith("-")), None)
    if named and named not in commands:
        raise LightMError(f"There is no command {named!r}. {suggest(named, commands)}")
    args, rest = parser.parse_known_args(argv)
    if args.command is None:
        parser.error("name a command, such as info")
    if args.command == "train":  # argparse takes no more key=value after an option: they are left over
        late = [text for text in rest if not text.startswith("-") and "=" in text]
        args.settings, rest = [*args.settings, *late], [text for text in rest if text not in late]
    if rest:
        command = commands[args.command]
        near = get_close_matches(rest[0], re.findall(r"--[\w-]+", command.format_usage()))
        command.error(f"no use for {rest[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return args


def _parsers() -> tuple[_Parser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="lightm",
        description="LightM-UNet (arXiv 2403.05246): train it, use it, measure it.",
        epilog="""\
begin with:
  lightm info                             what is installed and which data is there
  lightm train experiments/smoke.toml     train a small network on synthetic radiographs, a minute
  lightm predict runs/smoke IMAGE OUT     let it segment an image

Each command has its own help, with examples: lightm train --help""",
    )
    parser.add_argument("--version", action="version", version=f"lightm {lightm.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, run, summary: str, text: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=text, epilog=f"examples:\n{example}")
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
        "settings",
        nargs="*",
        default=[],
        metavar="key=value",
        help="change the recipe, e.g. optim.lr=1e-4",
    )
    train.add_argument("--out", type=Path, metavar="DIR", help="the run folder to make (default: runs/NAME)")
    train.add_argument("--resume", action="store_true", help="go on with the run in that folder")

    predict = command(
        "predict",
        _predict,
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
    predict.add_argument("run_folder", type=Path, metavar="RUN", help="a folder that `lightm train` made")
    predict.add_argument("image", type=Path, metavar="IMAGE", help="the image to segment")
    predict.add_argument("out", type=Path, metavar="OUT", help="the label map to write (.png, .nii.gz)")
    predict.add_argument("--sliding", action="store_true", help="keep the resolution, predict window by window")
    predict.add_argument("--force", action="store_true", help="replace OUT if it is there already")

    evaluate = command(
        "evaluate",
        _evaluate,
        "score a trained network on its held-out cases again",
        """\
Score the best weights of a run on a part of the run's own split (its split.json), at the
training size and at the size of the cases themselves. The data must be the same as in training;
its fingerprint is checked.

  DSC = 2 |P and T| / (|P| + |T|)     IoU = |P and T| / |P or T|     P predicted, T true voxels""",
        """\
  lightm evaluate runs/smoke
  lightm evaluate runs/smoke --split val --json scores.json""",
    )
    evaluate.add_argument("run_folder", type=Path, metavar="RUN", help="a folder that `lightm train` made")
    evaluate.add_argument("--split", choices=("train", "val", "test"), default="test", help="cases (default: test)")
    evaluate.add_argument("--root", type=Path, metavar="DIR", help="the data set's folder, if it has moved")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the scores of each case to this file")

    count = command(
        "count",
        _count,
        "true parameters and multiply-accumulates of a network",
        "Count every parameter once and every multiply-accumulate (MAC) of one image's forward pass,\n"
        "the selective scan included. Nothing is computed: a 3D network takes no memory.",
        """\
  lightm count --model lightm-unet --dims 2 --size 512 --in-channels 3 --out-channels 2
  lightm count --model lightm-unet --dims 3 --size 128 128 64 --options width=16 d_state=8
  lightm count --paper --json""",
    )
    what = count.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", metavar="NAME", help="a network of `lightm info`")
    what.add_argument("--paper", action="store_true", help="Tables 1 to 3 of the paper: printed, by thop, counted once")
    count.add_argument("--dims", type=int, choices=(2, 3), default=2, help="spatial dimensions (default: 2)")
    count.add_argument("--size", type=int, nargs="+", metavar="N", help="image size: one number, or one an axis")
    count.add_argument("--in-channels", type=int, default=1, metavar="C", help="channels of the image (default: 1)")
    count.add_argument("--out-channels", type=int, default=2, metavar="K", help="classes with background (default: 2)")
    count.add_argument("--depth", type=int, default=1, metavar="N", help="modules are listed N names deep (default: 1)")
    count.add_argument("--json", action="store_true", help="print every module as JSON")
    count.add_argument("--options", nargs="+", default=[], metavar="key=value", help="of the network, e.g. width=16")
    return parser, commands.choices


def _info(args: argparse.Namespace) -> None:
    import torch

    from lightm.data import list_datasets
    from lightm.models import list_models
    from lightm.provenance import hardware, versions
    from lightm.scan import backends, choose_backend

    def table(title: str, rows: list[tuple[str, ...]]) -> None:
        widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
        print(f"\n{title}")
        for *cells, last in rows:
            print(" ", *(f"{cell:<{width}} " for cell, width in zip(cells, widths, strict=True)), last)

    here, installed = hardware(), versions()
    print(f"lightm {installed.pop('lightm')}   {', '.join(f'{name} {number}' for name, number in installed.items())}")
    threads = f"{here['cores']} cores, {here['threads']} threads"
    print(f"{here['cpu']}, {threads}; GPU: {here['gpu'] or 'none'}; {here['system']}")

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    chosen, _ = choose_backend(torch.empty(0, device=device))
    state = {True: "ready", False: "not here"}
    rows = [(n, "in use" if n == chosen else state[s.available], s.reason) for n, s in backends(device).items()]
    table(f"selective scan on {device}", rows)
    home = os.environ.get("LIGHTM_DATA")
    table(
        f"data sets (files under LIGHTM_DATA{f' = {home}' if home else ', which is not set'})",
        [(info.name, *_found(info)) for info in list_datasets()],
    )
    table("networks", [(info.name, f"{info.summary} ({info.paper_section})") for info in list_models()])


def _found(info) -> tuple[str, str]:
    """Whether a data set is there, and what it is or how to get it, in a few words."""
    from lightm.data import load_dataset

    if info.name == "folder":
        return "yours", info.summary
    try:
        return "ready", f"{info.summary}; {len(load_dataset(info.name))} cases"
    except LightMError as error:
        damaged = "damaged" in str(error) or "missing in" in str(error)
        script = f"python data_scripts/{info.name.replace('-', '_')}.py --help"
        return "damaged" if damaged else "missing", f"{info.summary}; get it: {script}"


def _train(args: argparse.Namespace) -> None:
    import logging

    from lightm.config import load_config
    from lightm.results import format_scores
    from lightm.training import Trainer

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("lightm").setLevel(logging.INFO)
    config = load_config(args.recipe, args.settings)
    out = args.out or Path("runs") / config.name
    record = Trainer(config, out, resume=args.resume).fit()
    print(f"{out}: best validation DSC {record['best']['val_dsc']:.4f} in epoch {record['best']['epoch']}")
    for part, title in (("test", "test"), ("test_native", "test at native size")):
        if part in record:
            print(format_scores(title, record[part]))


def _predict(args: argparse.Namespace) -> None:
    from lightm.inference import predict_file

    shares = predict_file(args.run_folder, args.image, args.out, sliding=args.sliding, force=args.force)
    found = ", ".join(f"{value} {name} {share:.1%}" for value, (name, share) in enumerate(shares.items()))
    print(f"{args.out}: {found}")


def _evaluate(args: argparse.Namespace) -> None:
    from lightm.inference import evaluate_run
    from lightm.logs import Counting
    from lightm.results import format_scores, write_json

    if args.json and not args.json.parent.is_dir():
        raise LightMError(f"There is no folder {args.json.parent}; make it, or correct the path {args.json}.")
    reading, scoring = Counting("reading"), Counting("scoring")
    result = evaluate_run(args.run_folder, args.split, args.root, reading, scoring)
    if args.json:
        write_json(result, args.json)
    print(f"{args.run_folder}: weights of epoch {result['epoch']} on {result['dataset']}")
    size = " x ".join(map(str, result["scores"]["size"]))
    print(format_scores(f"{args.split} at {size}", result["scores"]))
    print(format_scores(f"{args.split} at native size", result["native"]))


def _count(args: argparse.Namespace) -> None:
    if args.paper:
        return _count_paper(args.json)
    import torch

    from lightm.complexity import count
    from lightm.config import parse_setting
    from lightm.models import build_model

    size = args.size or [{2: 512, 3: 128}[args.dims]]
    if len(size) not in (1, args.dims):
        raise LightMError(f"--size has {len(size)} numbers; give one, or {args.dims} for --dims {args.dims}.")
    size = size * args.dims if len(size) == 1 else size
    options = dict(parse_setting(option) for option in args.options)
    with torch.device("meta"):  # shapes only: the largest networks take no memory
        model = build_model(args.model, args.dims, args.in_channels, args.out_channels, **options)
    counted = count(model, (args.in_channels, *size))
    print(counted.to_json() if args.json else counted.table(args.depth))


def _count_paper(as_json: bool) -> None:
    from lightm.counting import count_tables

    rows = []
    for row in count_tables():
        rows.append(row)
        print(f"Table {row['table']}, {row['row']} …", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print(f"{'':30} {'parameters, millions':^24} {'multiply-accumulates, billions':^34}")
    print(f"{'table, row':30} {'printed':>8} {'thop':>7} {'true':>7} {'printed':>12} {'thop x batch':>12} {'true':>8}")
    for r in rows:
        name = f"{r['table']}  {r['row']}"
        params = f"{r['paper_params_m']:8.2f} {r['thop_params'] / 1e6:7.2f} {r['params'] / 1e6:7.2f}"
        macs = f"{r['paper_gflops']:12.2f} {r['thop_macs'] * r['batch'] / 1e9:12.2f} {r['macs'] / 1e9:8.2f}"
        print(f"{name:30} {params} {macs}")
    print("True: each parameter and each multiply-accumulate once, the scan included, for one image.")
