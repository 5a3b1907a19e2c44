"""Get LiTS, abdominal CT with liver and tumours, tens of gigabytes: `lightm data fetch lits`.

Without a network here: download Task03_Liver.tar from medicaldecathlon.com with a browser and give it as --archive.
Terms and citation: book/data.md.
"""

import sys

from lightm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "fetch", "lits", *sys.argv[1:]]))
