"""`python -m lightm`: the command line."""

import sys

from lightm.cli import main

sys.exit(main())
