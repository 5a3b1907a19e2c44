"""Get the X-ray data set (704 radiographs with lung masks, 512 x 512): `lightm data fetch montgomery-shenzhen`.

About 100 MB. Every file is checked against the hashes in the package. Terms and citation: book/data.md.
"""

import sys

from lightm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "fetch", "montgomery-shenzhen", *sys.argv[1:]]))
