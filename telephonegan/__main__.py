"""`python -m telephonegan`, and so `torchrun -m telephonegan`: the command line."""

import sys

from telephonegan.cli import main

if __name__ == "__main__":
    sys.exit(main())
