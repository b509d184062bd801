"""Names of runtimes as reports show them."""

import pytest

from vitsd_export.reports.wording import runtime_name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("litert", "litert"),
        ("benchmarks.torch_runner:TorchRunner", "Torch"),
        ("package.module:Own", "Own"),
        ("module:Runner", "module:Runner"),
        ("a\nb", "a b"),
    ],
)
def test_a_runtime_has_its_key_or_the_name_of_its_class(key: str, name: str) -> None:
    assert runtime_name(key) == name
