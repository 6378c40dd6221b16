"""`python -m debugger`."""

import sys

from debugger.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
