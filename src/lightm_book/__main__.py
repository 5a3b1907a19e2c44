"""`python -m lightm_book`: the command line."""

import sys

from lightm_book.cli import main

sys.exit(main())
