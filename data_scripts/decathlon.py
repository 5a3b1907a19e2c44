"""What hippocampus.py and lits.py have in common: a task of the Medical Segmentation Decathlon to a folder."""

import argparse
import os
import sys
from pathlib import Path

from lightm.data import load_dataset
from lightm.data.download import DECATHLON, fetch_decathlon
from lightm.errors import LightMError


def main(name: str, task: str, description: str) -> None:
    home = os.environ.get("LIGHTM_DATA")
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out",
        type=Path,
        required=not home,
        default=Path(home or "", task),
        help=f"folder to fill (default: $LIGHTM_DATA/{task})",
    )
    parser.add_argument(
        "--archive", type=Path, help=f"{task}.tar, downloaded before; without it: {DECATHLON}/{task}.tar"
    )
    arguments = parser.parse_args()
    try:
        fetch_decathlon(task, arguments.out, arguments.archive)
        data = load_dataset(name, root=arguments.out)
    except LightMError as error:
        sys.exit(f"{name}.py: {error}")
    print(f"{arguments.out}: {data!r}\n{data.source}")
    if arguments.out.name == task:
        print(f"Now type: export LIGHTM_DATA={arguments.out.resolve().parent}")
