"""`python -m trioetcd`."""

from trioetcd.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
