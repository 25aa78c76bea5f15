"""`python -m hessium.cli`, the same as `python -m hessium`."""

import sys

from hessium.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
