"""The command line as `python -m telephonegan` or `torchrun -m telephonegan`."""

import sys

if __name__ == "__main__":
    try:
        from telephonegan.cli.main import main
    except KeyboardInterrupt:  # while modules load
        sys.exit(130)
    sys.exit(main())
