"""`mrse` with a row in the curves for every step; started under torchrun, and to be killed."""

import sys

from cli.main import main
from models.training import loop

if __name__ == "__main__":
    loop._CURVE_EVERY = 1
    sys.exit(main())
