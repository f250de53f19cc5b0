"""``python -m gstalker.native`` compiles the kernels that are missing and says where they are."""

import argparse
import logging
import sys

from gstalker.native import build


def main() -> int:
    """Build; the exit status is 1 if that failed."""
    parser = argparse.ArgumentParser(prog="python -m gstalker.native", description=__doc__)
    parser.add_argument("--force", action="store_true", help="compile also what is up to date")
    force = parser.parse_args().force
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log = logging.getLogger("gstalker.native")
    try:
        for path in build.build(force=force):
            log.info("kernels: %s", path)
    except build.BuildFailed as error:
        log.error("gstalker: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
