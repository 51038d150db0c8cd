"""Secrets in command lines and variables, which a run's record must not hold.

A value is masked where its name says that it is one (`--api-key`, `db.password=`, `{"token": ...}`, `?token=`), where
its form does (`hf_...`, `https://user:password@host`), and where a variable of the environment with such a name has
the same value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

MASK: Final = "***"

_WORDS: Final = frozenset((
    "apikey", "auth", "authorization", "bearer", "cookie", "cred", "credential", "credentials", "creds", "jwt", "pass",
    "passphrase", "passwd", "password", "pat", "pw", "pwd", "secret", "sig", "signature", "token",
))  # fmt: skip
_TOKENIZERS: Final = frozenset(("bos", "cls", "eos", "mask", "pad", "sep", "unk"))
"""Before the word `token` they make it one of a text."""
_KEYS: Final = frozenset((
    "access", "anthropic", "api", "auth", "aws", "azure", "comet", "encryption", "google", "hf", "openai", "private",
    "secret", "session", "signing", "ssh", "wandb",
))  # fmt: skip
"""Before the word `key`."""
_FORM: Final = re.compile(
    r"(?:\b(?:sk|pk|rk)[-_]|\bhf_|\bgh[opsu]_|\bgithub_pat_|\bglpat-|\bxox[abeprs]-|\bAIza|\bnpm_|\bpypi-|\br8_)"
    r"[A-Za-z0-9_-]{20,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+"
)
_IN_URL: Final = re.compile(r"(?<=://)[^/?#\s]+(?=@)")
_NAME: Final = re.compile(
    r"""(?<![\w./-])(?:([\w.-]+)["']?\s*[=:]\s*|(-[\w.-]+|(?i:password|passwd|passphrase))\s+(?:is\s+)?(?!-))"""
)
_VALUE: Final = re.compile(r""""[^"]*"|'[^']*'|(?:(?:Bearer|Basic|Token)\s+)?[^\s"',;&)}\]]+""")
"""After a name inside a text: of JSON, of the query of a URL, of a header, of a program."""
_HEX: Final = re.compile(r"[0-9a-fA-F]{40}")
"""The form of a commit too, so what it is must be told by a name."""
_MAY_BE_KEY: Final = re.compile(r"(?i)wandb|key")
_USER: Final = re.compile(r"(?s)([^:/\\\s]+:)[^/\\].*")
"""After `-u`, as curl has it; no address and no path."""
_ASSIGNMENT: Final = re.compile(r"(?s)([-+~]*[\w.@/-]+)=(.*)")
_LEAST_CHARACTERS: Final = 8
"""A shorter value of the environment is most likely a common word."""


def is_secret(name: str) -> bool:
    """Tell whether what has this name is a secret, by its last words: `--hf-token` is one, `--max-tokens` is none."""
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+", name)[-2:]
    *before, last = [word.lower() for word in words] or [""]
    if last == "token" and _TOKENIZERS.intersection(before):
        return False
    return last in _WORDS or (last == "key" and bool(_KEYS.intersection(before)))


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without what has the form of a secret, or is one of `secrets`."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _FORM.sub(MASK, _without_values(_IN_URL.sub(MASK, text)))


def _without_values(text: str) -> str:
    """Return a text without what follows names of secrets in it."""
    parts, end = [], 0
    for name in _NAME.finditer(text):
        value = _VALUE.match(text, name.end())
        if value and name.start() >= end and _hides(name[1] or name[2], value[0].strip("\"'")):
            quote = value[0][0] if value[0][0] in "\"'" else ""
            parts += [text[end : name.end()], f"{quote}{MASK}{quote}"]
            end = value.end()
    return "".join([*parts, text[end:]])


def masked_command(arguments: Sequence[str]) -> list[str]:
    """Return a command line without its secrets."""
    secrets = sorted(_in_environment(), key=len, reverse=True)
    return [masked(argument, secrets) for argument in _without_named(arguments)]


def _without_named(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments without the values of options that are named like secrets."""
    option = ""
    for argument in arguments:
        assignment = _ASSIGNMENT.fullmatch(argument)
        user = _USER.fullmatch(argument) if option == "-u" else None
        if option and not argument.startswith("-") and _hides(option, argument):
            yield MASK
        elif assignment and _hides(*assignment.groups()):
            yield f"{assignment[1]}={MASK}"
        else:
            yield f"{user[1]}{MASK}" if user else argument
        option = argument if argument.startswith("-") else ""


def _hides(name: str, value: str) -> bool:
    """Tell whether what is named so is a secret."""
    return is_secret(name) or bool(_HEX.fullmatch(value) and _MAY_BE_KEY.search(name))


def _in_environment() -> set[str]:
    """Return what the environment holds under the names of secrets; a folder is none, as the one that PWD names."""
    found = {value for name, value in os.environ.items() if len(value) >= _LEAST_CHARACTERS and is_secret(name)}
    return found - {os.environ.get("PWD"), os.environ.get("OLDPWD")}
