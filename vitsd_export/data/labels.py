"""Names of the classes, in the order of the labels."""

from pathlib import Path

from vitsd_export.errors import InputError


def read_labels_file(path: Path | str) -> tuple[str, ...]:
    """Reads class names from a UTF-8 text file, one a line, in the order of the labels.

    Blank lines at the end are ignored, and so is the white space around a name.

    Raises:
        InputError: If the file cannot be read, is not UTF-8, is empty, has a blank line between
            names or names a class twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"The labels file {path} cannot be read: {error.strerror or error}."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"The labels file {path} is not UTF-8 text (byte {error.start}). Save it as UTF-8, "
            "one class name a line."
        ) from error
    names = [line.strip() for line in text.rstrip().splitlines()]
    if not names:
        raise InputError(f"The labels file {path} is empty. Write one class name a line.")
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise InputError(
                f"The labels file {path} has no name on line {number}. Write one class name a line."
            )
        if name in seen:
            raise InputError(
                f"The labels file {path} names {name!r} twice, on lines {seen[name]} and {number}. "
                "Each class needs its own name."
            )
        seen[name] = number
    return tuple(names)


_FOLDER = Path(__file__).parent / "class_names"
CIFAR10_CLASSES = read_labels_file(_FOLDER / "cifar10.txt")
CIFAR100_FINE_CLASSES = read_labels_file(_FOLDER / "cifar100_fine.txt")
CIFAR100_COARSE_CLASSES = read_labels_file(_FOLDER / "cifar100_coarse.txt")


def default_labels(num_classes: int) -> tuple[str, ...]:
    """Returns class names for a model that carries none.

    CIFAR-10's for 10 classes, CIFAR-100's fine ones for 100, otherwise `class 0`, `class 1`, …
    """
    for names in (CIFAR10_CLASSES, CIFAR100_FINE_CLASSES):
        if num_classes == len(names):
            return names
    return tuple(f"class {index}" for index in range(num_classes))


def named_labels(source: Path | str) -> tuple[str, ...]:
    """Returns CIFAR-100's class names for `fine` or `coarse`, else those in a file of that name.

    Raises:
        InputError: If the file cannot be used; see `read_labels_file`.
    """
    known = {"fine": CIFAR100_FINE_CLASSES, "coarse": CIFAR100_COARSE_CLASSES}
    return known.get(str(source)) or read_labels_file(source)
