"""What lies where a command writes, before and after."""

from pathlib import Path


def old_artifact(path: Path, command: str) -> dict[str, bytes]:
    """Puts something in the way of an artifact; returns all files around it."""
    if command == "saved-model":
        (path / "variables").mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(b"old graph")
        (path / "variables" / "variables.index").write_bytes(b"old weights")
    else:
        path.write_bytes(b"old artifact")
    path.with_name(f"{path.name}.json").write_bytes(b"old manifest")
    return tree(path.parent)


def tree(folder: Path) -> dict[str, bytes]:
    """The content of all files in a folder, and the empty folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }
