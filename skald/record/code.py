"""The code that runs: where it lies, and the files that it was loaded from."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from skald.record.git import repository

_INSTALLED: Final = re.compile(r"[/\\](?:site|dist)-packages[/\\]")


def code_folder() -> Path:
    """Return where the code lies: the working directory if that is in a repository, else the script's folder."""
    script = _script()
    folders = [Path(folder) for folder in (working_folder(), script and script.parent) if folder]
    return next(filter(repository, folders), folders[0] if folders else Path(os.sep))


def code_files() -> Iterator[str]:
    """Yield the sources of the script and of the modules that are loaded, without those that were installed."""
    script = str(_script() or "")
    installed = tuple(f"{Path(path).parent}{os.sep}" for path in (os.__file__, sys.executable or ""))
    loaded = [getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values())]
    sources = [file for file in loaded if isinstance(file, str) and file.endswith(".py")]
    for file in dict.fromkeys((script, *sources)):
        if not file.startswith(installed) and not _INSTALLED.search(file):
            yield file


def working_folder() -> str | None:
    """Return where the process is; None where that was removed."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return None


def _script() -> Path | None:
    """Return the file that Python was started with."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).absolute() if script and working_folder() else None
