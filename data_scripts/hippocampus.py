"""Get the hippocampus MR volumes, tens of megabytes: `lightm data fetch hippocampus`.

Without a network here: download Task04_Hippocampus.tar from medicaldecathlon.com with a browser and give it as
--archive. Terms and citation: book/data.md.
"""

import sys

from lightm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "fetch", "hippocampus", *sys.argv[1:]]))
