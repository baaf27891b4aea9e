"""Run the command line as `python -m tfbind`."""

from tfbind.cli import main

if __name__ == "__main__":
    main()
