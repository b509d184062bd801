"""`python -m vitsd_export` is `vitsd-export`."""

from vitsd_export.cli import main

if __name__ == "__main__":
    main()
