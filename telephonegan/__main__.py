"""`python -m telephonegan`, and so `torchrun -m telephonegan`: the command line."""

import sys

if __name__ == "__main__":
    try:
        from telephonegan.cli.main import main
    except KeyboardInterrupt:  # while modules load
        sys.exit(130)
    sys.exit(main())
