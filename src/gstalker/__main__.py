"""``python -m gstalker`` is the same as ``gstalker``."""

import sys

from gstalker.cli import main

if __name__ == "__main__":
    sys.exit(main())
