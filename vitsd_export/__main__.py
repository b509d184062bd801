"""`vitsd-export`, and `python -m vitsd_export`."""

import gc


def main() -> None:
    """Starts the command line."""
    # What is imported stays: looking for garbage among it takes an eighth of the time until --help.
    gc.set_threshold(50_000)
    from vitsd_export import cli

    cli.main()


if __name__ == "__main__":
    main()
