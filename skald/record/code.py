"""The code that runs: where it lies, and the files that it was loaded from."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from skald.record.git import repository

_INSTALLED: Final = re.compile(r"[/\\](?:site|dist)-packages[/\\]")


def code_folder() -> Path:
    """Return where the code lies: the script's folder if that is in a repository, else the working directory."""
    script = script_file()
    folders = [
        Path(folder) for folder in (script and os.path.realpath(Path(script).parent), working_folder()) if folder
    ]
    return next(filter(repository, folders), folders[-1] if folders else Path(os.sep))


def script_file() -> str | None:
    """Return the file that Python was started with; None where there is none, or it is a program that was installed."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if not script or not working_folder() or not Path(script).is_file():
        return None
    return next(_not_installed([os.path.abspath(script)]), None)  # noqa: PTH100  without `..`


def code_files() -> Iterator[str]:
    """Yield the sources of the script and of the modules that are loaded, without those that were installed."""
    loaded = [getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values())]
    sources = [file for file in loaded if isinstance(file, str) and file.endswith(".py")]
    return _not_installed(dict.fromkeys(filter(None, (script_file(), *sources))))


def _not_installed(files: Iterable[str]) -> Iterator[str]:
    installed = tuple(f"{Path(path).parent}{os.sep}" for path in (os.__file__, sys.executable or ""))
    return (file for file in files if not file.startswith(installed) and not _INSTALLED.search(file))


def working_folder() -> str | None:
    """Return where the process is; None where that was removed."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return None
