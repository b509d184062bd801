"""How the tests and the modules of this repository may depend on each other and on the system."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import run_python

TESTS = Path(__file__).parent
PACKAGES = ("vitsd_export", "training", "benchmarks")
# Modules and functions that Python has on some systems only.
POSIX_MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")
# Runtimes and engines of extras, which need not be installed.
OPTIONAL = ("torch", "openvino")
LINUX_FUNCTIONS = ("sched_getaffinity", "sched_setaffinity")
IMPORT_ALL = f"""
import importlib, os, pkgutil, sys

for name in {POSIX_MODULES}:
    sys.modules[name] = None
for name in {LINUX_FUNCTIONS}:
    if hasattr(os, name):
        delattr(os, name)
for package in {PACKAGES}:
    module = importlib.import_module(package)
    names = [each.name for each in pkgutil.walk_packages(module.__path__, package + ".")]
    for name in names:
        if not name.endswith(".__main__"):
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name not in {OPTIONAL}:
                    raise
    print(package, len(names))
"""


def imported_modules(source: str) -> Iterator[str]:
    """Yields the absolute names of what a module imports, in functions and in programs in strings, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            first, _, rest = node.value.strip().partition(" ")
            if first in ("from", "import") and rest.startswith("tests."):
                yield rest.split()[0]


def is_test(module: str) -> bool:
    """Whether a module is a test or a conftest."""
    parts = module.split(".")
    return parts[0] == "tests" and any(
        part == "conftest" or part.startswith("test_") for part in parts
    )


def test_no_test_imports_a_test() -> None:
    """What several tests need lies in tests/support; fixtures come through conftest files."""
    found = {
        f"{path.relative_to(TESTS)}: {module}"
        for path in TESTS.rglob("*.py")
        if path != Path(__file__)
        for module in imported_modules(path.read_text(encoding="utf-8"))
        if is_test(module)
    }
    assert found == set()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from tests.data.conftest import rows", True),
        ("def make():\n    import tests.data.test_labels", True),
        ("from tests.data import test_labels", True),
        ("run('from tests.data.test_labels import rows\\nrows()')", True),
        ("from tests.support import cifar_layouts", False),
    ],
)
def test_imports_of_tests_are_found(source: str, names: bool) -> None:
    assert any(map(is_test, imported_modules(source))) is names


def test_every_module_imports_without_what_other_systems_lack() -> None:
    """Windows has none of these modules, and macOS does not bind processes to cores."""
    counts = dict(line.split() for line in run_python(IMPORT_ALL).splitlines())
    assert set(counts) == set(PACKAGES)
    assert all(int(count) > 20 for count in counts.values())
