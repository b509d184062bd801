"""Names of the classes, in the order of the labels."""

from pathlib import Path

from vitsd_export.errors import InputError

CIFAR10_CLASSES: tuple[str, ...] = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

CIFAR100_FINE_CLASSES: tuple[str, ...] = (
    "apple",
    "aquarium_fish",
    "baby",
    "bear",
    "beaver",
    "bed",
    "bee",
    "beetle",
    "bicycle",
    "bottle",
    "bowl",
    "boy",
    "bridge",
    "bus",
    "butterfly",
    "camel",
    "can",
    "castle",
    "caterpillar",
    "cattle",
    "chair",
    "chimpanzee",
    "clock",
    "cloud",
    "cockroach",
    "couch",
    "crab",
    "crocodile",
    "cup",
    "dinosaur",
    "dolphin",
    "elephant",
    "flatfish",
    "forest",
    "fox",
    "girl",
    "hamster",
    "house",
    "kangaroo",
    "keyboard",
    "lamp",
    "lawn_mower",
    "leopard",
    "lion",
    "lizard",
    "lobster",
    "man",
    "maple_tree",
    "motorcycle",
    "mountain",
    "mouse",
    "mushroom",
    "oak_tree",
    "orange",
    "orchid",
    "otter",
    "palm_tree",
    "pear",
    "pickup_truck",
    "pine_tree",
    "plain",
    "plate",
    "poppy",
    "porcupine",
    "possum",
    "rabbit",
    "raccoon",
    "ray",
    "road",
    "rocket",
    "rose",
    "sea",
    "seal",
    "shark",
    "shrew",
    "skunk",
    "skyscraper",
    "snail",
    "snake",
    "spider",
    "squirrel",
    "streetcar",
    "sunflower",
    "sweet_pepper",
    "table",
    "tank",
    "telephone",
    "television",
    "tiger",
    "tractor",
    "train",
    "trout",
    "tulip",
    "turtle",
    "wardrobe",
    "whale",
    "willow_tree",
    "wolf",
    "woman",
    "worm",
)

CIFAR100_COARSE_CLASSES: tuple[str, ...] = (
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
)


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
