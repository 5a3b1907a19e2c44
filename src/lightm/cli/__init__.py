"""The command line: `lightm COMMAND`, a module of this folder for each command.

Such a module has `add(command)`, which declares its arguments and names the function that runs it. Such a
function imports what is slow to import itself, so that `lightm --help` answers at once.
"""

from collections.abc import Sequence

from lightm.cli import check, count, data, evaluate, export, info, nnunet, plan, predict, train
from lightm.cli.parser import Program

LIGHTM = Program(
    "lightm",
    "LightM-UNet (arXiv 2403.05246): train it, use it, measure it.",
    """\
begin with:
  lightm info                             what is installed and which data is there
  lightm check                            is this machine ready? half a minute
  lightm train smoke                      train a small network on synthetic radiographs, a minute
  lightm predict runs/smoke IMAGE OUT     let it segment an image

Each command has its own help, with examples: lightm train --help""",
    (info.add, check.add, plan.add, train.add, predict.add, evaluate.add, export.add, count.add, data.add, nnunet.add),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what the user can put right is one line on stderr."""
    return LIGHTM.run(argv)
