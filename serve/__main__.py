"""`python -m serve`: what the container's command `serve` runs."""

import sys

from serve.main import main

if __name__ == "__main__":
    sys.exit(main())
