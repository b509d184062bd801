"""Where the small apps lie that go with an artifact."""

from pathlib import Path

from vitsd_export.errors import EnvironmentProblem


def apps_folder(name: str) -> Path:
    """Returns the folder of an app: beside the modules in an installed package, else in the checkout.

    Args:
        name: `python`, `web` or `node`.

    Raises:
        EnvironmentProblem: If the installation came without it.
    """
    package = Path(__file__).parents[1]
    for apps in (package / "apps", package.parent / "apps"):
        if (apps / name).is_dir():
            return apps / name
    raise EnvironmentProblem(
        f"This installation of vitsd-export has no app named {name!r}. Install it again, from a "
        "wheel or from the repository."
    )
