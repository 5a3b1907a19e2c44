"""lightm nnunet: let the commands of nnU-Net v2 train and use a network of this package."""

import argparse

from lightm.cli.parser import AddCommand, Parser


def add(command: AddCommand) -> None:
    """Declare the command, its parts and their arguments."""
    sub = command(
        "nnunet",
        _run,
        "let nnU-Net v2 train LightM-UNet, by its own commands and without a fork",
        """\
nnU-Net's plans file names the network that is trained. `plans` writes a second plans file beside
it, with a network of `lightm info` in the place of nnU-Net's own; nnUNetv2_train and
nnUNetv2_predict take it with -p. The preprocessed data stay as they are.
`path` prints a folder with a trainer class, nnUNetTrainerLightM, that nnU-Net 2.8 or newer finds
through the variable nnUNet_extTrainer. nnU-Net's own trainer classes work, too.

nnU-Net and lightm must be installed in the same environment; in a clone, `make nnunet` makes one.""",
        """\
  lightm nnunet plans Dataset004_Hippocampus
  nnUNetv2_train Dataset004_Hippocampus 3d_fullres 0 -p nnUNetPlans_lightm-unet
  lightm nnunet plans 4 --model u-mamba-bot
  export nnUNet_extTrainer=$(lightm nnunet path)""",
    )
    parts = sub.add_subparsers(dest="part", metavar="WHAT", title="what", required=True, parser_class=Parser)
    text = "Write a plans file that trains a network of `lightm info`."
    plans = parts.add_parser("plans", help="write a plans file that trains one of our networks", description=text)
    plans.set_defaults(parser=plans)
    plans.add_argument("dataset", metavar="DATASET", help="its name, its number, or the path of a plans file (.json)")
    plans.add_argument("--model", metavar="NAME", default="lightm-unet", help="the network (default: lightm-unet)")
    plans.add_argument("--plans", metavar="NAME", default="nnUNetPlans", help="what to begin with (nnUNetPlans)")
    plans.add_argument("--options", nargs="+", default=[], metavar="key=value", help="of the network, e.g. width=16")
    plans.add_argument("--force", action="store_true", help="replace the file if it is there already")
    parts.add_parser("path", help="print the folder for nnUNet_extTrainer", description="Print the trainer's folder.")


def _run(args: argparse.Namespace) -> None:
    from lightm.nnunet import TRAINERS

    if args.part == "path":
        print(TRAINERS)
        return
    from lightm.nnunet.plans import find_plans, read_plans, write_plans
    from lightm.training.settings import parse_setting

    source = find_plans(args.dataset, args.plans)
    path = write_plans(source, args.model, dict(map(parse_setting, args.options)), args.force)
    before, after = (read_plans(file)["configurations"] for file in (source, path))
    for name, settings in after.items():
        if "patch_size" in settings:
            old, new = ("x".join(map(str, plan[name]["patch_size"])) for plan in (before, after))
            print(f"{name}: {args.model}, patches of {new}" + (f" (planned: {old})" if new != old else ""))
    print(f"{path}\nTrain by it: nnUNetv2_train {path.parent.name} {next(iter(after))} 0 -p {path.stem}")
