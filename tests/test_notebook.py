"""Notebooks: cells run twice, kernels restarted and ended, in a real IPython kernel."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager
from logged import values

import skald

WAIT_SECS = 60


class Notebook:
    """A kernel with the cells that were run in it."""

    def __init__(self, folder: Path) -> None:
        """Start the kernel in a folder."""
        self._manager = KernelManager(kernel_name="python3")
        # NOTE: in tests ipykernel does not listen to the descriptors, which it does for people
        environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        environment["IPYTHONDIR"] = str(folder / ".ipython")
        self._manager.start_kernel(cwd=str(folder), env=environment)
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=WAIT_SECS)

    def run(self, cell: str) -> str:
        """Run a cell; return what it printed, and the error that it ended with."""
        printed: list[str] = []

        def take(message: dict[str, object]) -> None:
            content = message["content"]
            assert isinstance(content, dict)
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "error":
                printed.append(f"{content['ename']}: {content['evalue']}")

        self._client.execute_interactive(cell, timeout=WAIT_SECS, output_hook=take)
        return "".join(printed)

    def restart(self) -> None:
        """Restart the kernel, as the button does."""
        self._manager.restart_kernel()
        self._client.wait_for_ready(timeout=WAIT_SECS)

    def end(self) -> None:
        """Shut the kernel down."""
        self._client.stop_channels()
        self._manager.shutdown_kernel()
        self._manager.cleanup_resources()


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    """Return a notebook in `tmp_path`."""
    notebook = Notebook(tmp_path)
    yield notebook
    notebook.end()


def test_cell_run_twice_with_overwrite_begins_anew(notebook: Notebook, tmp_path: Path) -> None:
    """The logger of the first time is closed; the run holds the rows of the second time only."""
    cell = """
import skald
logger = skald.Logger("run", ".", mode="overwrite")
for step in range(3):
    logger.log_metric("loss", step, step=step)
"""

    said = [notebook.run(cell), notebook.run(cell), notebook.run("logger.close()")]

    assert "Error" not in "".join(said)
    assert values(tmp_path / "run") == [0, 1, 2]
    assert skald.Run(tmp_path / "run").status == "finished"


def test_cell_run_twice_without_a_mode_is_refused_and_the_run_stays_usable(notebook: Notebook, tmp_path: Path) -> None:
    """The error names the modes that help, and the logger of the first time logs on."""
    cell = 'import skald\nlogger = skald.Logger("run", ".")\nlogger.log_metric("loss", 1)'

    notebook.run(cell)
    refused = notebook.run(cell)
    notebook.run('logger.log_metric("loss", 2)\nlogger.close()')

    assert "RunExistsError: run 'run' is being written by this process" in refused
    assert values(tmp_path / "run") == [1, 2]


@pytest.mark.parametrize("mode", ["auto", "resume"])
def test_kernel_restarted_goes_on_with_the_run(notebook: Notebook, tmp_path: Path, mode: str) -> None:
    """What was logged before is there, once, though nobody closed the logger; the end of a kernel ends the run."""
    notebook.run('import skald\nlogger = skald.Logger("run", ".")\nlogger.log_metric("loss", 1)')
    notebook.restart()

    said = notebook.run(f'import skald\nlogger = skald.Logger("run", ".", mode="{mode}")\nlogger.log_metric("loss", 2)')
    notebook.restart()

    assert "Error" not in said
    assert values(tmp_path / "run") == [1, 2]
    assert skald.Run(tmp_path / "run").status == "finished"


def test_module_that_is_reloaded_logs_on_with_the_logger_from_before(notebook: Notebook, tmp_path: Path) -> None:
    """As `%autoreload 2` does with a script that is edited between two cells."""
    module = "def train(logger, step):\n    logger.log_metric('loss', {} * step, step=step)\n    print('step', step)\n"
    (tmp_path / "training.py").write_text(module.format(1), encoding="utf-8")
    notebook.run("%load_ext autoreload\n%autoreload 2\nimport skald, training")
    notebook.run('logger = skald.Logger("run", ".")\nwith logger.contextualize(a=1): training.train(logger, 1)')
    (tmp_path / "training.py").write_text(module.format(10), encoding="utf-8")

    said = notebook.run("with logger:\n    training.train(logger, 2)")

    assert "Error" not in said
    assert values(tmp_path / "run") == [1, 20]
    assert skald.Run(tmp_path / "run").console.splitlines()[0] == "step 2"


def test_skald_that_is_reloaded_logs_on(notebook: Notebook, tmp_path: Path) -> None:
    """As after an update of the package: loggers from before and new ones log, each row and line once."""
    notebook.run('import importlib, sys, skald\nold = skald.Logger("old", ".")')
    notebook.run("for step in range(5): old.log_metric('loss', step, step=step)\nold.log_metric('loss', 5)")

    notebook.run("for name in sorted(sys.modules):\n  if name.startswith('skald'): importlib.reload(sys.modules[name])")
    said = notebook.run("for step in range(5): old.log_metric('loss', step, step=step)\nold.log_metric('loss', 5)")
    said += notebook.run("with skald.Logger('new', '.') as new:\n  new.log_metric('loss', 1)\n  print('printed')")
    said += notebook.run("old.close()")

    assert "Error" not in said
    assert values(tmp_path / "old") == [*range(6), *range(6)]
    assert values(tmp_path / "new") == [1]
    assert skald.Run(tmp_path / "new").console.count("printed") == 1
    assert {skald.Run(tmp_path / name).status for name in ("old", "new")} == {"finished"}


@pytest.mark.parametrize("capture", ["True", "'fd'"])
def test_what_children_print_in_a_notebook_stands_in_the_log_once(
    notebook: Notebook, tmp_path: Path, capture: str
) -> None:
    """The kernel prints what comes by the descriptors into its streams again; Skald takes the one or the other."""
    cell = f"""
import os, subprocess, sys, time, skald
with skald.Logger("run", ".", capture={capture}):
    print("by python")
    os.write(1, b"by descriptor\\n")
    subprocess.run([sys.executable, "-c", "import sys; print('by a child'); print('its error', file=sys.stderr)"])
    time.sleep(1)
    print("after")
"""

    said = notebook.run(cell)

    console = skald.Run(tmp_path / "run").console
    for line in ("by python\n", "by descriptor\n", "by a child\n", "its error\n", "after\n"):
        assert (said.count(line), console.count(line)) == (1, 1), line


@pytest.mark.parametrize("capture", [True, "fd"])
def test_what_is_printed_between_the_cells_is_in_the_log(notebook: Notebook, tmp_path: Path, capture: object) -> None:
    """By a thread that trains while the notebook is free, in a run of its own or in a block that is left open."""
    notebook.run(f"""
import skald, threading, time
def train(logger):
    with logger:
        for step in range(20):
            print(logger.run.name, step)
            time.sleep(0.02)
threads = [threading.Thread(target=train, args=[skald.Logger(name, ".", capture={capture!r})]) for name in "ab"]
for thread in threads: thread.start()
open_block = skald.Logger("c", ".", capture={capture!r})
open_block.__enter__()
""")
    time.sleep(0.1)
    said = notebook.run("print('in between')\nfor thread in threads: thread.join()")
    said += notebook.run("print('at last')\nopen_block.__exit__(None, None, None)")
    said += notebook.run("""
import sys
print("after it")
threading.Timer(0.2, lambda: found.append(sys.stdout.write.__qualname__)).start()
found = []
""")
    time.sleep(0.4)
    said += notebook.run("print('found', *found)")

    assert "Error" not in said
    assert "found OutStream.write\n" in said
    for name in "ab":
        lines = skald.Run(tmp_path / name).console.splitlines()
        assert [line for line in lines if line.startswith(name)] == [f"{name} {step}" for step in range(20)]
    lines = skald.Run(tmp_path / "c").console.splitlines()
    for name in "ab":
        assert [line for line in lines if line.startswith(f"{name} ")][-1] == f"{name} 19"
    assert [line for line in lines if line in {"in between", "at last", "after it"}] == ["in between", "at last"]
