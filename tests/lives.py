"""Processes that log what they are told over a pipe, and die when they are told.

A server imports Skald once and forks a child for each life. Run as a program, this file is the server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

ENDS = ("kill", "close", "exit")


class Lives:
    """One process after the other that logs; `tell` returns when it has done what it was told."""

    def __init__(self) -> None:
        """Start the server."""
        self._server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, *command: Any) -> None:
        """Have the living process do something: a name, and its arguments."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(command).encode() + b"\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer == b"done\n", (command, answer)

    def end(self) -> None:
        """End the server, whose process must have ended."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(10)
        self._server.stdout.close()


def _read() -> list[Any] | None:
    line = b""
    while not line.endswith(b"\n"):  # byte by byte: what comes after the line is the next process's
        byte = os.read(0, 1)
        if not byte:
            return None
        line += byte
    command: list[Any] = json.loads(line)
    return command


def _serve() -> None:
    import skald.engine.compaction  # noqa: F401

    while command := _read():
        child = os.fork()
        if child == 0:
            _live(command)
        os.waitpid(child, 0)
        os.write(1, b"done\n")  # to the command that ended it


def _live(opening: list[Any]) -> None:
    import signal

    import skald

    _, folder, mode, storage = opening
    os.environ["SKALD_STORAGE"] = storage
    logger = skald.Logger("run", folder, mode=mode)
    while True:
        os.write(1, b"done\n")
        command = _read()
        assert command is not None
        name, *arguments = command
        if name == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif name == "close":
            logger.close()
            os._exit(0)
        elif name == "exit":
            sys.exit()
        _do(logger, name, arguments)


def _do(logger: Any, name: str, arguments: list[Any]) -> None:  # noqa: C901 one case for each command
    match name, arguments:
        case "metric", [metric, value, ids]:
            logger.log_metric(metric, value, **ids)
        case "metrics", [metrics, ids]:
            logger.log_metrics(metrics, **ids)
        case "batch", [metrics, ids]:
            logger.log_batch(metrics, **ids)
        case "bound", [metric, value, ids]:
            logger.bind(**ids).log_metric(metric, value)
        case "tracked", [metric, values, ids]:
            for value in logger.track(values, "epoch"):
                logger.log_metric(metric, value, **ids)
        case "forked", [metric, value, ids]:
            _in_child(logger, metric, value, ids)
        case "set", [ids]:
            logger.set_ids(**ids)
        case "rewind", [ids]:
            logger.rewind(**ids)
        case "sync", []:
            logger.sync()
        case "roll", []:
            _roll(logger._session.writer())


def _in_child(logger: Any, metric: str, value: float, ids: dict[str, Any]) -> None:
    child = os.fork()
    if child == 0:
        logger.log_metric(metric, value, **ids)
        logger.sync()
        os._exit(0)
    os.waitpid(child, 0)


def _roll(writer: Any) -> None:
    with writer.lock:
        for stream in list(writer._streams):
            writer._roll(stream)


if __name__ == "__main__":
    _serve()
