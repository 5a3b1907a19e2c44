"""Pack the 704 radiographs into one file to take them to another machine; masks and test cases stay exact.

lightm reads that file in the folder's place: put it as cxr.zip into the folder that LIGHTM_DATA names there.
"""

import argparse
import sys
from pathlib import Path

from lightm.data.montgomery_shenzhen import MontgomeryShenzhen
from lightm.data.packed import pack
from lightm.data.splits import read_split
from lightm.errors import LightMError
from lightm.training.logs import CaseProgress
from lightm.training.recipes import FOLDER

SPLIT = FOLDER / "splits" / "montgomery-shenzhen-seed0.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the file to write, ending in .zip")
    parser.add_argument("--root", type=Path, help="the folder with images/ and masks/ (default: cxr under LIGHTM_DATA)")
    parser.add_argument(
        "--max-error",
        type=int,
        default=2,
        metavar="N",
        help="how far gray values of training and validation images may be off, of 255 (default 2; 0: not at all)",
    )
    parser.add_argument(
        "--split", type=Path, default=SPLIT, help="whose test cases stay exact (default: ours)"
    )
    args = parser.parse_args()
    dataset = MontgomeryShenzhen(args.root)
    exact = read_split(args.split, dataset).test
    pack(dataset, args.out, args.max_error, exact, CaseProgress("packing"))
    megabytes = args.out.stat().st_size / 1e6
    print(
        f"{args.out}: {len(dataset)} cases, {megabytes:.1f} MB, gray values off by at most {args.max_error}; ", end=""
    )
    print(f"{len(exact)} test cases and all masks are exact." if args.max_error else "everything is exact.")


if __name__ == "__main__":
    try:
        main()
    except LightMError as error:
        sys.exit(f"pack_xrays.py: {error}")
