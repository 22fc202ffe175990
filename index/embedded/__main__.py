"""Rebuilds the index folder that is named, see `rebuild`."""

import sys
from pathlib import Path

from index.embedded.rebuild import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
