"""`python -m hessium.cli`, for a checkout that is not installed."""

import sys

from hessium_command import main

if __name__ == "__main__":
    sys.exit(main())
