"""``python -m gstalker.native`` compiles the kernels and says where they are."""

import logging
import sys

from gstalker.native import build


def main() -> int:
    """Build; the exit status is 1 if that failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log = logging.getLogger("gstalker.native")
    try:
        for path in build.build():
            log.info("built %s", path)
    except build.BuildFailed as error:
        log.error("gstalker: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
