"""`python -m control` is `kennel`, for a checkout that is not installed."""

import sys

from control.cli import main

if __name__ == "__main__":
    sys.exit(main())
