"""Build the X-ray data set (704 radiographs with lung masks, 512 x 512) from the public repository that holds it.

Terms and citation: book/data.md. About 100 MB. Every file is checked against the hashes in the package.
"""

import argparse
import os
import sys
from pathlib import Path

from lightm.data import load_dataset
from lightm.data.download import XRAYS_COMMIT, XRAYS_REPOSITORY, build_xrays, fetch_xrays
from lightm.errors import LightMError


def main() -> None:
    home = os.environ.get("LIGHTM_DATA")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out",
        type=Path,
        required=not home,
        default=Path(home or "", "cxr"),
        help="folder to fill (default: $LIGHTM_DATA/cxr)",
    )
    parser.add_argument(
        "--source", type=Path, help=f"a clone of {XRAYS_REPOSITORY} at {XRAYS_COMMIT[:7]}; without it, it is downloaded"
    )
    arguments = parser.parse_args()
    build_xrays(arguments.source or fetch_xrays(), arguments.out)
    data = load_dataset("montgomery-shenzhen", root=arguments.out)
    print(f"{arguments.out}: {data!r}\n{data.source}")
    if arguments.out.name == "cxr":
        print(f"Now type: export LIGHTM_DATA={arguments.out.resolve().parent}")


if __name__ == "__main__":
    try:
        main()
    except LightMError as error:
        sys.exit(f"montgomery_shenzhen.py: {error}")
