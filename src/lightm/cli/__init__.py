"""The command line: lightm info | plan | train | predict | evaluate | export | count | data, each a module here.

A command's module has `add(command)`, which declares its arguments and names the function that runs it. Such a
function imports what is slow to import itself, so that `lightm --help` answers at once.
"""

from collections.abc import Sequence

from lightm.cli import count, data, evaluate, export, info, plan, predict, train
from lightm.cli.parser import Program

LIGHTM = Program(
    "lightm",
    "LightM-UNet (arXiv 2403.05246): train it, use it, measure it.",
    """\
begin with:
  lightm info                             what is installed and which data is there
  lightm train smoke                      train a small network on synthetic radiographs, a minute
  lightm predict runs/smoke IMAGE OUT     let it segment an image

Each command has its own help, with examples: lightm train --help""",
    (info.add, plan.add, train.add, predict.add, evaluate.add, export.add, count.add, data.add),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what the user can put right is one line on stderr."""
    return LIGHTM.run(argv)
