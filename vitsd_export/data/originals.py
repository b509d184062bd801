"""How CIFAR's author distributes it: which files hold which data set, in two versions.

The Python version holds pickles, the binary version plain rows of bytes; each comes as a tarball
of one folder (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

from vitsd_export.data.labels import CIFAR10_CLASSES, CIFAR100_FINE_CLASSES

CifarName = Literal["cifar10", "cifar100"]
Split = Literal["train", "test"]
CIFAR_NAMES: tuple[CifarName, ...] = ("cifar10", "cifar100")
CLASSES: dict[CifarName, tuple[str, ...]] = {
    "cifar10": CIFAR10_CLASSES,
    "cifar100": CIFAR100_FINE_CLASSES,
}

TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"

# Browsers unpack the gzip of some downloads, and tools shorten the extension.
_TARBALL_EXTENSIONS = (".tar.gz", ".tgz", ".tar")


@dataclasses.dataclass(frozen=True)
class Original:
    """One version of one data set.

    Attributes:
        name: The data set.
        version: `python` or `binary`.
        folder: Name of its folder, inside the tarball and once extracted.
        tarball: Name of its tarball, without extension.
        train: Files of the training split, in order.
        test: Files of the test split.
        mark: A file that tells the data set in a folder of another name; None where the names of
            the splits' files tell it.
    """

    name: CifarName
    version: Literal["python", "binary"]
    folder: str
    tarball: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    mark: str | None

    def files(self, split: Split) -> tuple[str, ...]:
        """Returns the names of a split's files."""
        return self.train if split == "train" else self.test

    def is_in(self, folder: str, has: Callable[[str], bool]) -> bool:
        """Tells whether a folder of this name is this one, complete or not; `has` tells its files."""
        # Anything may be called `train` or `test`; the mark or the folder's name tells CIFAR-100.
        if self.mark is not None and folder != self.folder and not has(self.mark):
            return False
        return any(has(file) for file in (*self.train, *self.test))

    def tarball_names(self) -> tuple[str, ...]:
        """Returns the names by which people hold the tarball: the author's first, then Keras's."""
        stems = dict.fromkeys((self.tarball, self.folder))
        names = (stem + extension for stem in stems for extension in _TARBALL_EXTENSIONS)
        return (*names, f"{self.folder}-target_archive")


ORIGINALS = (
    Original(
        name="cifar10",
        version="python",
        folder="cifar-10-batches-py",
        tarball="cifar-10-python",
        train=TRAIN_BATCHES,
        test=(TEST_BATCH,),
        mark=None,
    ),
    Original(
        name="cifar10",
        version="binary",
        folder="cifar-10-batches-bin",
        tarball="cifar-10-binary",
        train=tuple(f"{batch}.bin" for batch in TRAIN_BATCHES),
        test=(f"{TEST_BATCH}.bin",),
        mark=None,
    ),
    Original(
        name="cifar100",
        version="python",
        folder="cifar-100-python",
        tarball="cifar-100-python",
        train=("train",),
        test=("test",),
        mark="meta",
    ),
    Original(
        name="cifar100",
        version="binary",
        folder="cifar-100-binary",
        tarball="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        mark="fine_label_names.txt",
    ),
)
