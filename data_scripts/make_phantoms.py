"""Write SYNTHETIC images with their masks as files, for a workshop: nobody needs a network or a patient's data.

Radiographs become PNG in images/ and masks/, CT volumes NIfTI in imagesTr/ and labelsTr/. Train on them as on a data
set of your own: in the recipe's [data], name = "folder" and options = { root = "OUT" }.
"""

import argparse
import sys
from pathlib import Path

from lightm.data import list_datasets, load_dataset
from lightm.data.download import write_folder
from lightm.errors import LightMError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [info.name for info in list_datasets() if info.synthetic]
    parser.add_argument("name", choices=names, help="which phantoms")
    parser.add_argument("out", type=Path, help="folder to fill")
    parser.add_argument("--cases", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--size", type=int, help="pixels along each axis (default: that of the data set)")
    parser.add_argument("--seed", type=int, default=0, help="other patients (default: %(default)s)")
    arguments = parser.parse_args()
    size = {} if arguments.size is None else {"size": arguments.size}
    phantoms = load_dataset(arguments.name, cases=arguments.cases, seed=arguments.seed, **size)
    write_folder(phantoms, arguments.out)
    print(f"{arguments.out}: {load_dataset('folder', root=arguments.out)!r}")


if __name__ == "__main__":
    try:
        main()
    except LightMError as error:
        sys.exit(f"make_phantoms.py: {error}")
