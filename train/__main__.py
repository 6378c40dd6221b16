"""`python -m train`: a job from /opt/ml, or from flags."""

import sys

from train.main import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
