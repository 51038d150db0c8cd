"""The environment that a run records: machine, process, code, packages; with real repositories and a real git."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from logged import program, start, values

import skald
from skald.layout import ARTIFACTS, RUN_JSON
from skald.record.environment import ENTRIES_A_STEP, _gpu_names, _packages_in
from skald.record.git import MOST_DIFF_BYTES
from skald.record.masking import MASK, is_secret, masked, masked_command

OPEN = "import skald; skald.Logger('run', 'runs').close()"
HEX = "0123456789abcdef" * 2 + "01234567"
needs_scripts = pytest.mark.skipif(os.name == "nt", reason="a script is no program there")


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, and return what it says."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(name="repository")
def make_repository(tmp_path: Path) -> Path:
    """Return a repository with one commit on the branch `trunk`."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    (folder / "train.py").write_text("lr = 1\n", encoding="utf-8")
    (folder / ".gitignore").write_text("runs/\n", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


def environment_of(run: Path) -> dict[str, Any]:
    """Return what a run says of where it was made."""
    found: dict[str, Any] = skald.Run(run).info["environment"]
    return found


def recorded(folder: Path, *arguments: object, **variables: str) -> dict[str, Any]:
    """Make a run in a process that works in a folder; return its environment."""
    done = program(OPEN, *arguments, folder=folder, **variables)
    assert done.returncode == 0, done.stderr
    return environment_of(folder / "runs" / "run")


def fake_git(folder: Path, body: str) -> str:
    """Put a program called git into a folder; return the PATH that finds it first."""
    script = folder / "bin" / "git"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    script.chmod(0o755)
    return f"{script.parent}{os.pathsep}{os.environ['PATH']}"


# --- machine and process ---


def test_environment_says_who_ran_what_and_where(tmp_path: Path) -> None:
    """Host, user, pid, platform, Python, command line, working directory, CPU and GPUs stand in run.json."""
    found = recorded(tmp_path, "--depth", 12)

    assert found["host"] == platform.node()
    assert found["user"]
    assert found["pid"] == skald.Run(tmp_path / "runs" / "run").info["sessions"][0]["pid"]
    assert found["platform"].startswith(platform.system())
    assert found["python"] == platform.python_version()
    assert found["command"] == [sys.executable, "-c", OPEN, "--depth", "12"]
    assert found["cwd"] == str(tmp_path)
    assert found["cpu"]
    assert found["cores"] == os.cpu_count()
    assert isinstance(found["gpus"], list)


@pytest.mark.skipif(sys.platform != "linux", reason="others have no names that are no UTF-8")
def test_environment_is_recorded_where_it_is_no_utf8(tmp_path: Path) -> None:
    """Bytes of arguments, variables, folder and user that are none are escaped, and the run goes on."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    log = "import skald\nwith skald.Logger('run', 'runs') as logger: logger.log_metric('loss', 0.5)"
    variables = {b"SLURM_JOB_NAME": b"job\xe9", b"LOGNAME": b"me\xe9"}

    done = subprocess.run(
        [sys.executable, "-c", log, b"given\xe9"],
        cwd=folder,
        env=os.environb | variables,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    run = skald.Run(folder / "runs" / "run")
    found = run.info["environment"]
    assert (run.status, values(run.path)) == ("finished", [0.5])
    assert found["command"][-1] == r"given\udce9"
    assert found["variables"]["SLURM_JOB_NAME"] == r"job\udce9"
    assert found["user"] == r"me\udce9"
    assert found["cwd"] == str(tmp_path / r"caf\udce9")


@pytest.mark.skipif(sys.platform != "linux", reason="others have no names that are no UTF-8")
def test_environment_is_recorded_on_a_host_whose_name_is_no_utf8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are escaped, and the run knows the processes of its own host."""
    monkeypatch.setattr(platform, "node", lambda: "caf\udce9")

    with skald.Logger("run", tmp_path) as logger:
        assert logger.run.status == "running"
        with pytest.raises(skald.RunExistsError, match=r"caf\\udce9"):
            skald.Logger("run", tmp_path, mode="resume")

    assert environment_of(tmp_path / "run")["host"] == r"caf\udce9"


def test_environment_has_the_installed_packages_with_their_versions(tmp_path: Path) -> None:
    """Each distribution that Python finds is there, under its normal name."""
    found = recorded(tmp_path)

    installed: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.name).lower() if distribution.name else ""
        installed.setdefault(name, distribution.version)
    assert {name: found["packages"].get(name) for name in installed if name} == {
        k: v for k, v in installed.items() if k
    }
    assert found["packages"]["scikit-learn"]


def test_environment_finds_packages_among_many_files(tmp_path: Path) -> None:
    """A folder of data beside the script is gone through in steps, between which the logger may stop waiting."""
    for number in range(2 * ENTRIES_A_STEP):
        (tmp_path / f"{number}.jpg").touch()
    (tmp_path / "My_Package-1.5.dist-info").mkdir()

    assert recorded(tmp_path)["packages"]["my-package"] == "1.5"

    steps = list(_packages_in(str(tmp_path)))
    assert len(steps) == 2


def test_environment_of_a_second_run_has_what_was_installed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a cell with `%pip install` does."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "one-1.0.dist-info").mkdir()
    skald.Logger("before", tmp_path / "runs").close()
    (tmp_path / "one-1.0.dist-info").rename(tmp_path / "one-1.1.dist-info")
    skald.Logger("after", tmp_path / "runs").close()

    found = [environment_of(tmp_path / "runs" / name)["packages"]["one"] for name in ("before", "after")]
    assert found == ["1.0", "1.1"]


def test_environment_is_made_without_a_working_directory(tmp_path: Path) -> None:
    """A folder that was removed under the process stops nothing."""
    runs = str(tmp_path / "runs")
    moved = OPEN.replace("'runs'", repr(runs))
    source = f"import os; os.mkdir('x'); os.chdir('x'); os.rmdir('../x'); {moved}"

    done = program(source, folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert environment_of(tmp_path / "runs" / "run")["cwd"] is None


def test_environment_names_the_gpus_that_drivers_tell_of(tmp_path: Path) -> None:
    """NVIDIA's and AMD's, from files, as asking a library may take seconds."""
    files = {
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 7\n",
        "proc/driver/nvidia/gpus/0000:02:00.0/information": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 8\n",
        "sys/class/drm/card1/device/product_name": "Instinct MI300X\n",
        "sys/class/drm/card2/device/product_name": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert _gpu_names(tmp_path) == ["NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3", "Instinct MI300X"]


# --- variables and secrets ---


def test_environment_has_the_variables_that_matter_and_no_others(tmp_path: Path) -> None:
    """An allow-list: what places a process is recorded, and nothing that is not known to be harmless."""
    given = {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "7", "RANK": "0", "WORLD_SIZE": "1", "MY_NOTES": "private"}

    found = recorded(tmp_path, **given)["variables"]

    assert {name: found.get(name) for name in given} == {**given, "MY_NOTES": None}


def test_environment_holds_no_secret(tmp_path: Path) -> None:
    """Keys and tokens in variables, also those with an allowed prefix, and in arguments reach no file of the run."""
    secrets = {
        "WANDB_API_KEY": "0123456789abcdef",
        "SLURM_JWT": "secret-of-slurm",
        "AWS_SECRET_ACCESS_KEY": "secret-of-aws",
        "SKALD_TOKEN": "secret-of-skald",
        "NCCL_NOTE": "https://me:secret-of-url@host/x",
    }
    arguments = [
        "--api-key=secret-one", "--hf_token", "secret-two", "db.password=secret-three", "https://me:secret-four@host",
        "key is 0123456789abcdef", "hf_abcdefghijklmnopqrstuvwxyz",
    ]  # fmt: skip

    recorded(tmp_path, *arguments, **secrets)

    text = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "runs").rglob("*.json"))
    assert not [secret for secret in ("secret", "0123456789abcdef", "hf_abc") if secret in text.replace("SECRET", "")]
    assert "--api-key=***" in text


@pytest.mark.parametrize(
    "name",
    [
        "--api-key",
        "api_key",
        "db.password",
        "HF_TOKEN",
        "apiKey",
        "--ssh-private-key",
        "AUTH",
        "wandb_key",
        "--ssh-key",
        "sig",
        *("--pass", "--db-pass", "--mysql_pass", "pw", "db_pwd", "--passwd", "--cred", "creds", "credential"),
        *("--aws-credentials", "--pat", "github_pat"),
    ],
)
def test_masking_knows_secrets_by_their_names(name: str) -> None:
    """However the words are joined."""
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("--max-tokens", "--tokenizer", "--key", "--key-dim", "--num-keys", "", "-", "author", "--path", "bypass"),
        *("--eos_token", "--bos_token", "--pad-token", "unk_token", "sepToken", "cls_token", "tokenizer.mask_token"),
    ],
)
def test_masking_leaves_what_only_sounds_like_a_secret(name: str) -> None:
    """A command line is there to be run again."""
    assert not is_secret(name)


def test_masking_leaves_the_option_after_a_switch() -> None:
    """`--auth` may be a switch: what begins with a dash is no value of it."""
    assert masked_command(["--auth", "--lr", "1"]) == ["--auth", "--lr", "1"]
    assert masked_command(["--auth", "x", "--lr", "1"]) == ["--auth", MASK, "--lr", "1"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--wandb", HEX], ["--wandb", MASK]),
        (["--key", HEX], ["--key", MASK]),
        ([f"--wandb_login={HEX}"], [f"--wandb_login={MASK}"]),
        (["--commit", HEX, "--key", "loss"], ["--commit", HEX, "--key", "loss"]),
        (["curl", "-u", "me:word", "url"], ["curl", "-u", f"me:{MASK}", "url"]),
        (["python", "-u", "train.py"], ["python", "-u", "train.py"]),
        (["python", "-u", "C:\\train.py"], ["python", "-u", "C:\\train.py"]),
        (["get", "-u", "https://host:80/x"], ["get", "-u", "https://host:80/x"]),
        (["--db-pass", "word", "--pw=word"], ["--db-pass", MASK, f"--pw={MASK}"]),
        (["--pad_token", "<pad>", "--eos-token=</s>"], ["--pad_token", "<pad>", "--eos-token=</s>"]),
    ],
)
def test_masking_tells_values_by_the_option_before_them(given: list[str], expected: list[str]) -> None:
    """A name that is not always a secret's hides what has the form of one; `-u` has a user's name before it."""
    assert masked_command(given) == expected


def test_masking_leaves_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """PWD is named like a password, and holds the folder that a shell is in."""
    monkeypatch.setenv("PWD", "/data/project")
    monkeypatch.setenv("DB_PWD", "correct-horse")

    assert masked_command(["/data/project/train.py", "correct-horse"]) == ["/data/project/train.py", MASK]


def test_masking_finds_tokens_inside_a_text() -> None:
    """Known forms of keys, and passwords in addresses."""
    assert masked("a ghp_0123456789abcdefghij b") == f"a {MASK} b"
    assert masked("postgres://me:word@host/db") == f"postgres://{MASK}@host/db"
    assert masked("postgres://me:w@rd@host/db") == f"postgres://{MASK}@host/db"
    assert masked("https://host/?mail=me@host") == "https://host/?mail=me@host"
    assert masked("AKIA0123456789ABCDEF") == MASK
    assert masked("task-force-with-a-long-name") == "task-force-with-a-long-name"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"api_key": "word", "lr": 1}', f'{{"api_key": "{MASK}", "lr": 1}}'),
        ("{db: {password: word}, lr: 1}", f"{{db: {{password: {MASK}}}, lr: 1}}"),
        ("https://host/x?token=word&y=1", f"https://host/x?token={MASK}&y=1"),
        ("Authorization: Bearer word.word", f"Authorization: {MASK}"),
        ("lr=1,api_key=word,depth=2", f"lr=1,api_key={MASK},depth=2"),
        ("connect(password='a word')", f"connect(password='{MASK}')"),
        ('{"max_tokens": 5, "key": "loss"}', '{"max_tokens": 5, "key": "loss"}'),
        ("registry/auth:latest", "registry/auth:latest"),
        ("the password hunter2, and more", f"the password {MASK}, and more"),
        ("Password is 'a word'", f"Password is '{MASK}'"),
        ("ssh host train --api-key word --lr 1", f"ssh host train --api-key {MASK} --lr 1"),
        ("train --auth --lr 1", "train --auth --lr 1"),
        ("change my password", "change my password"),
        ('{"eos_token": "</s>", "token": "word"}', f'{{"eos_token": "</s>", "token": "{MASK}"}}'),
        (f"key={HEX}", f"key={MASK}"),
        (f"commit={HEX}", f"commit={HEX}"),
    ],
)
def test_masking_finds_values_that_are_named_inside_a_text(text: str, expected: str) -> None:
    """In JSON, YAML, addresses, headers, lists of options and programs; nothing else changes."""
    assert masked(text) == expected


# --- git ---


def test_git_is_commit_and_branch_of_a_clean_repository(repository: Path) -> None:
    """Where nothing has changed there is no diff; untracked files, however many, are no change."""
    (repository / "data").mkdir()
    for number in range(50):
        (repository / "data" / f"{number}.bin").write_bytes(b"data")

    found = recorded(repository)

    assert found["git"] == {"commit": git(repository, "rev-parse", "HEAD"), "branch": "trunk", "dirty": False}
    assert list((repository / "runs" / "run" / ARTIFACTS).iterdir()) == []
    assert "missing" not in found


def test_git_is_found_from_a_folder_inside_the_repository(repository: Path) -> None:
    """The whole repository is looked at, not only the working directory."""
    (repository / "deep").mkdir()
    (repository / "train.py").write_text("lr = 2\n", encoding="utf-8")

    found = recorded(repository / "deep")["git"]

    assert found["dirty"]
    assert b"+lr = 2" in (repository / "deep" / "runs" / "run" / found["diff"]).read_bytes()


@pytest.mark.parametrize("other", [None, "other"])
def test_git_is_that_of_the_script_wherever_the_working_directory_is(
    repository: Path, tmp_path: Path, other: str | None
) -> None:
    """`cd /data; python ../project/train.py` records the project, also where the data is in a repository."""
    (repository / "train.py").write_text(OPEN, encoding="utf-8")
    place = tmp_path / "elsewhere"
    place.mkdir()
    if other:
        git(place, "init", "--quiet", f"--initial-branch={other}")

    subprocess.run([sys.executable, "../repository/train.py"], cwd=place, check=True)

    found = environment_of(place / "runs" / "run")
    assert (found["git"]["branch"], found["git"]["dirty"]) == ("trunk", True)
    assert b"+import skald" in (place / "runs" / "run" / found["git"]["diff"]).read_bytes()
    assert "missing" not in found


@pytest.mark.parametrize("program", ["../repository/bin/tool", "../lib/site-packages/tool.py", "../alone.py"])
def test_git_is_that_of_the_working_directory_where_the_script_is_in_none(
    repository: Path, tmp_path: Path, program: str
) -> None:
    """As a program that was installed is, wherever that was; what lies outside does not spoil the diff."""
    script = tmp_path / "project" / program
    script.parent.resolve().mkdir(parents=True, exist_ok=True)
    place = tmp_path / "project"
    place.mkdir(exist_ok=True)
    git(place, "init", "--quiet", "--initial-branch=own")
    (place / "model.py").write_text("depth = 1\n", encoding="utf-8")
    git(place, "add", "model.py")
    executable = str(repository / "bin" / "python")
    script.write_text(f"import sys\nsys.executable = {executable!r}\n{OPEN}\n", encoding="utf-8")

    subprocess.run([sys.executable, program], cwd=place, check=True)

    found = environment_of(place / "runs" / "run")
    assert found["git"]["branch"] == "own"
    assert "missing" not in found
    assert b"alone" not in (place / "runs" / "run" / found["git"]["diff"]).read_bytes()


def test_git_diff_restores_a_script_in_a_repository_without_commits(repository: Path, tmp_path: Path) -> None:
    """That lies in another one, which does not look into it: the script is in no commit, and in the diff."""
    nested = repository / "nested"
    nested.mkdir()
    git(nested, "init", "--quiet")
    (nested / "new.py").write_text(OPEN, encoding="utf-8")

    subprocess.run([sys.executable, "nested/new.py"], cwd=repository, check=True)

    found = environment_of(repository / "runs" / "run")["git"]
    assert found["dirty"]
    git(tmp_path, "apply", str(repository / "runs" / "run" / found["diff"]))
    assert (tmp_path / "new.py").read_text(encoding="utf-8") == OPEN


def test_git_diff_restores_the_changes(repository: Path, tmp_path: Path) -> None:
    """Staged or not, text or binary, added or deleted: the diff applies to the commit."""
    (repository / "image.bin").write_bytes(bytes(range(256)))
    git(repository, "add", "image.bin")
    (repository / "train.py").write_text("lr = 2\n", encoding="utf-8")
    (repository / ".gitignore").unlink()

    found = recorded(repository)["git"]

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    git(clone, "checkout", "--quiet", found["commit"])
    git(clone, "apply", str(repository / "runs" / "run" / found["diff"]))
    assert (clone / "image.bin").read_bytes() == bytes(range(256))
    assert (clone / "train.py").read_text(encoding="utf-8") == "lr = 2\n"
    assert not (clone / ".gitignore").exists()


@pytest.mark.parametrize("changed", [False, True])
def test_git_diff_restores_a_script_that_is_not_tracked(repository: Path, tmp_path: Path, changed: bool) -> None:  # noqa: FBT001
    """A run of a script that no commit has is dirty, and the diff holds it, also where git is told to ignore it."""
    folder = repository / "a b"
    folder.mkdir()
    for name in ("new [1].py", "ignored.py"):
        (folder / name).write_text(f"{OPEN}\n", encoding="utf-8")
    (repository / ".gitignore").write_text("runs/\nignored.py\n", encoding="utf-8")
    git(repository, "commit", "--quiet", "--all", "--message=ignore")
    if changed:
        (repository / "train.py").write_text("lr = 2\n", encoding="utf-8")
    found = {}
    for name in ("new [1].py", "ignored.py"):
        subprocess.run([sys.executable, f"a b/{name}"], cwd=repository, check=True, capture_output=True)
        found[name] = environment_of(repository / "runs" / "run")["git"]
        (repository / "runs" / "run").rename(repository / "runs" / name)

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    for name, state in found.items():
        assert state["dirty"]
        git(clone, "apply", str(repository / "runs" / name / state["diff"]))
        assert [path.name for path in (clone / "a b").iterdir()] == [name]
        assert (clone / "a b" / name).read_text(encoding="utf-8") == f"{OPEN}\n"
        assert (clone / "train.py").read_text(encoding="utf-8") == ("lr = 2\n" if changed else "lr = 1\n")
        git(clone, "checkout", "--quiet", ".")
        (clone / "a b" / name).unlink()


def test_git_diff_restores_the_modules_that_are_not_tracked(repository: Path, tmp_path: Path) -> None:
    """What a script has imported counts as the script does; what it has not, what was installed or is ignored, not."""
    modules = ("model.py", "pkg/__init__.py", "pkg/a b é.py", "ignored.py", "lib/site-packages/installed.py")
    for number, name in enumerate((*modules, "unused.py")):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_bytes(b"" if number == 1 else b"x = %d\r\n# no end" % number)
    nested = repository / "nested"
    nested.mkdir()
    git(nested, "init", "--quiet")
    (nested / "other.py").write_text("x = 1\n", encoding="utf-8")
    (repository / ".gitignore").write_text("runs/\nignored.py\n", encoding="utf-8")
    (repository / "train.py").write_text(
        "import importlib, sys\n"
        "sys.path += ['lib/site-packages', 'nested']\n"
        "for name in 'model', 'pkg', 'pkg.a b é', 'ignored', 'installed', 'other': importlib.import_module(name)\n"
        f"{OPEN}\n",
        encoding="utf-8",
    )
    git(repository, "commit", "--quiet", "--all", "--message=second")

    subprocess.run([sys.executable, "train.py"], cwd=repository, check=True, capture_output=True)

    found = environment_of(repository / "runs" / "run")["git"]
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    git(clone, "apply", str(repository / "runs" / "run" / found["diff"]))
    new = {path.relative_to(clone).as_posix() for path in clone.rglob("*.py")} - {"train.py"}
    assert found["dirty"]
    assert new == set(modules[:3])
    assert [(clone / name).read_bytes() for name in sorted(new)] == [
        (repository / name).read_bytes() for name in sorted(new)
    ]


def test_git_takes_a_program_that_was_installed_for_no_code(repository: Path) -> None:
    """As `.venv/bin/pytest` is, also where nobody has told git to ignore the folder."""
    (repository / "bin").mkdir()
    (repository / "bin" / "tool").write_text(
        f"import os, sys\nsys.executable = os.path.abspath('bin/python')\n{OPEN}\n", encoding="utf-8"
    )

    subprocess.run([sys.executable, "bin/tool"], cwd=repository, check=True, capture_output=True)

    assert not environment_of(repository / "runs" / "run")["git"]["dirty"]


def test_git_diff_restores_more_modules_than_a_command_line_takes(repository: Path, tmp_path: Path) -> None:
    """A new project may have none of its files in a commit yet."""
    for number in range(450):
        (repository / f"m{number}.py").write_text(f"x = {number}\n", encoding="utf-8")
    (repository / "new.py").write_text(
        f"import importlib\nfor k in range(450): importlib.import_module(f'm{{k}}')\n{OPEN}\n", encoding="utf-8"
    )

    subprocess.run([sys.executable, "new.py"], cwd=repository, check=True, capture_output=True)

    found = environment_of(repository / "runs" / "run")["git"]
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    git(clone, "apply", str(repository / "runs" / "run" / found["diff"]))
    assert len(list(clone.glob("m*.py"))) == 450
    assert (clone / "m449.py").read_text(encoding="utf-8") == "x = 449\n"


def test_git_diff_restores_the_changes_in_submodules(repository: Path, tmp_path: Path) -> None:
    """Those that are committed there and those that are not; the superproject's own line tells only that there are."""
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    (inner / "model.py").write_text("depth = 1\n", encoding="utf-8")
    (inner / "data.bin").write_bytes(b"\0one")
    git(inner, "add", ".")
    git(inner, "commit", "--quiet", "--message=first")
    local = "-c", "protocol.file.allow=always"
    git(repository, *local, "submodule", "--quiet", "add", str(inner), "lib/inner")
    git(repository, "commit", "--quiet", "--message=second")
    (repository / "lib" / "inner" / "data.bin").write_bytes(b"\0two")
    git(repository / "lib" / "inner", "commit", "--quiet", "--all", "--message=not pushed")
    (repository / "lib" / "inner" / "model.py").write_text("depth = 2\n", encoding="utf-8")
    (repository / "train.py").write_text("lr = 2\n", encoding="utf-8")

    found = recorded(repository)["git"]

    clone = tmp_path / "clone"
    git(tmp_path, *local, "clone", "--quiet", "--recurse-submodules", str(repository), str(clone))
    git(clone, "apply", str(repository / "runs" / "run" / found["diff"]))
    assert (clone / "train.py").read_text(encoding="utf-8") == "lr = 2\n"
    assert (clone / "lib" / "inner" / "model.py").read_text(encoding="utf-8") == "depth = 2\n"
    assert (clone / "lib" / "inner" / "data.bin").read_bytes() == b"\0two"


def test_git_diff_of_a_submodule_that_cannot_be_had_is_left_out_with_a_word(repository: Path, tmp_path: Path) -> None:
    """As where its commit is not there any more; the rest of the environment is."""
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    git(inner, "commit", "--quiet", "--allow-empty", "--message=first")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "inner")
    git(repository, "commit", "--quiet", "--message=second")
    git(repository / "inner", "checkout", "--quiet", "--orphan", "other")
    git(repository / "inner", "commit", "--quiet", "--allow-empty", "--message=other")
    git(repository / "inner", "update-ref", "-d", "refs/heads/master")
    git(repository / "inner", "update-ref", "-d", "refs/remotes/origin/master")
    git(repository / "inner", "update-ref", "-d", "refs/remotes/origin/HEAD")
    git(repository / "inner", "reflog", "expire", "--expire=now", "--all")
    git(repository / "inner", "prune", "--expire=now")

    found = recorded(repository)

    assert found["git"]["dirty"]
    assert found["missing"]["diff"].startswith("in the submodule inner: ")


def test_git_diff_is_listed_as_the_other_artifacts_are(repository: Path) -> None:
    """With its size and its sum, and no ids."""
    (repository / "train.py").write_text("lr = 2\n", encoding="utf-8")

    found = recorded(repository)["git"]

    run = skald.Run(repository / "runs" / "run")
    data = (run.path / found["diff"]).read_bytes()
    assert run.artifacts.columns == ["path", "size", "sha256", "time"]
    assert run.artifacts.row(0)[:3] == (
        found["diff"].removeprefix(f"{ARTIFACTS}/"),
        len(data),
        hashlib.sha256(data).hexdigest(),
    )


@needs_scripts
def test_git_runs_no_program_of_the_users_and_touches_nothing(repository: Path) -> None:
    """Monitors, drivers of diffs, pagers and colours that are configured stay out of it; an index may be locked."""
    trap = repository / ".git" / "trap"
    trap.write_text(f"#!/bin/sh\ntouch '{repository}/.git/sprung'\n", encoding="utf-8")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "core.pager", "diff.x.textconv"):
        git(repository, "config", name, str(trap))
    for name, value in (("color.ui", "always"), ("diff.noprefix", "true"), ("diff.relative", "true")):
        git(repository, "config", name, value)
    (repository / ".git" / "info" / "attributes").write_text("*.py diff=x\n", encoding="utf-8")
    (repository / "train.py").write_text("lr = 2\n", encoding="utf-8")
    index = repository / ".git" / "index"
    (repository / ".git" / "sprung").unlink(missing_ok=True)
    (repository / ".git" / "index.lock").touch()
    before = index.stat()

    found = recorded(repository)["git"]

    diff = (repository / "runs" / "run" / found["diff"]).read_text(encoding="utf-8")
    assert diff.startswith("diff --git a/train.py b/train.py\n")
    assert index.stat().st_mtime_ns == before.st_mtime_ns
    assert not (repository / ".git" / "sprung").exists()


def test_git_before_the_first_commit_has_no_commit(tmp_path: Path) -> None:
    """What is staged is the diff."""
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk")
    (tmp_path / "train.py").write_text("lr = 1\n", encoding="utf-8")
    git(tmp_path, "add", "train.py")

    found = recorded(tmp_path)["git"]

    assert (found["commit"], found["branch"], found["dirty"]) == (None, "trunk", True)
    assert "+lr = 1" in (tmp_path / "runs" / "run" / found["diff"]).read_text(encoding="utf-8")


def test_git_at_a_commit_has_no_branch(repository: Path) -> None:
    """A checkout of a commit, as CI makes it, is on no branch."""
    git(repository, "checkout", "--quiet", "--detach")

    assert recorded(repository)["git"]["branch"] is None


def test_git_is_none_outside_a_repository(tmp_path: Path) -> None:
    """No repository is no problem."""
    found = recorded(tmp_path)

    assert found["git"] is None
    assert "missing" not in found


def test_git_is_none_without_git(repository: Path, tmp_path: Path) -> None:
    """A machine without git says so in run.json, and nothing else happens."""
    found = recorded(repository, PATH=str(tmp_path))

    assert found["git"] is None
    assert found["missing"] == {"git": "there is no git here to ask"}


def test_git_that_refuses_is_quoted(repository: Path) -> None:
    """A repository that git does not want to read is told in git's words."""
    (repository / ".git" / "HEAD").write_text("nonsense", encoding="utf-8")

    assert "repository" in recorded(repository)["missing"]["git"]


def test_git_diff_that_is_too_large_is_left_out_with_a_word(repository: Path) -> None:
    """Over 10 MiB: run.json and a warning say so, and commit and branch are there."""
    (repository / "train.py").write_text("x" * (MOST_DIFF_BYTES + 1), encoding="utf-8")

    done = program(OPEN, folder=repository)

    found = environment_of(repository / "runs" / "run")
    assert found["git"]["dirty"]
    assert "diff" not in found["git"]
    assert found["missing"] == {"diff": "larger than 10 MiB"}
    assert "the git diff is not kept with the run: larger than 10 MiB" in done.stderr
    assert list((repository / "runs" / "run" / ARTIFACTS).iterdir()) == []


def test_git_diff_of_a_second_run_in_a_process_is_its_own(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook whose code changes between two cells records both states."""
    monkeypatch.chdir(repository)

    diffs = []
    for number, text in enumerate(["lr = 2\n", "lr = 2\n", "lr = 3\n", "lr = 1\n"]):
        (repository / "train.py").write_text(text, encoding="utf-8")
        skald.Logger(f"run{number}", "runs").close()
        run = repository / "runs" / f"run{number}"
        found = environment_of(run)["git"]
        diffs.append((run / found["diff"]).read_text(encoding="utf-8") if found["dirty"] else "clean")

    assert ["+lr = 2" in diffs[0], "+lr = 2" in diffs[1], "+lr = 3" in diffs[2], diffs[3]] == [
        True,
        True,
        True,
        "clean",
    ]


# --- what takes too long ---

SLOW = """
import pathlib, sys, threading, time
import skald

started = time.monotonic()
logger = skald.Logger("run", "runs")
taken = round(time.monotonic() - started, 1)
time.sleep(0.2)
print(taken, *[t.name for t in threading.enumerate() if "skald" in t.name], flush=True)
input()
logger.close()
print(*[t.name for t in threading.enumerate() if "skald" in t.name], flush=True)
"""


@needs_scripts
def test_environment_goes_on_in_the_background_when_git_is_slow(repository: Path, tmp_path: Path) -> None:
    """A logger waits a second for git; what it says later is recorded while the run goes on, and no thread is left."""
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (repository / "train.py").write_text("lr = 2\n", encoding="utf-8")
    path = fake_git(tmp_path, f'while [ ! -e "{tmp_path}/gate" ]; do sleep 0.05; done\nexec "{real}" "$@"')
    run = repository / "runs" / "run"

    with start(SLOW, folder=repository, PATH=path) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        taken, *threads = process.stdout.readline().split()
        early = environment_of(run)
        (tmp_path / "gate").touch()
        until = time.monotonic() + 30
        while not environment_of(run).get("git") and time.monotonic() < until:
            time.sleep(0.01)
        late = environment_of(run)
        process.stdin.write("\n")
        process.stdin.flush()
        left = process.stdout.readline().split()
        process.stdin.close()

    assert 1.0 <= float(taken) < 5
    assert threads == ["skald-environment"]
    assert "took longer than 1 s" in early["missing"]["git"]
    assert late["git"]["dirty"]
    assert "missing" not in late
    assert (run / late["git"]["diff"]).exists()
    assert left == []


@needs_scripts
def test_environment_ends_with_the_run_when_git_hangs(repository: Path, tmp_path: Path) -> None:
    """Closing waits for nothing: git is ended, no thread is left, and run.json says what is not known."""
    path = fake_git(tmp_path, f"echo $$ > '{tmp_path}/pid'\nexec sleep 600")

    with start(SLOW, folder=repository, PATH=path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        left, _ = process.communicate("\n", timeout=60)
        taken = time.monotonic() - began

    found = environment_of(repository / "runs" / "run")
    assert taken < 20
    assert left.strip() == ""
    assert "took longer than 1 s" in found["missing"]["git"]
    assert found["packages"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), signal.SIGKILL)


@needs_scripts
def test_environment_ends_what_a_git_that_hangs_has_started(repository: Path, tmp_path: Path) -> None:
    """As git itself for each submodule, or a filter for each file."""
    path = fake_git(tmp_path, f"sleep 600 &\necho $! > '{tmp_path}/pid'\nwait")

    recorded(repository, PATH=path)

    started = int((tmp_path / "pid").read_text(encoding="utf-8"))
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(started).status() == psutil.STATUS_ZOMBIE  # ended, and nobody has asked how


@needs_scripts
def test_environment_leaves_no_git_when_it_is_interrupted(repository: Path, tmp_path: Path) -> None:
    """Ctrl-C while a logger waits for git ends both."""
    path = fake_git(tmp_path, f"echo $$ > '{tmp_path}/pid'\nexec sleep 600")
    source = """
import os, signal, sys, threading, time, traceback, skald
def interrupt():
    while "is_done" not in {frame.name for frame in traceback.extract_stack(sys._current_frames()[main])}:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
main = threading.get_ident()
threading.Thread(target=interrupt).start()
try:
    skald.Logger("run", "runs")
except KeyboardInterrupt:
    print("interrupted")
"""

    done = program(source, folder=repository, PATH=path)

    assert done.stdout == "interrupted\n"
    written = tmp_path / "pid"
    pid = written.read_text(encoding="utf-8") if written.exists() else ""  # it may have ended before it had begun
    with contextlib.suppress(psutil.NoSuchProcess):
        assert not pid or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


@needs_scripts
def test_environment_leaves_no_git_when_the_logger_cannot_be_made(repository: Path, tmp_path: Path) -> None:
    """A constructor that fails ends what it began."""
    path = fake_git(tmp_path, f"echo $$ > '{tmp_path}/pid'\nexec sleep 600")
    (repository / "runs" / "run").mkdir(parents=True)
    (repository / "runs" / "run" / "other").touch()

    done = program(OPEN, folder=repository, PATH=path)

    assert "RunExistsError" in done.stderr
    assert "ResourceWarning" not in done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), signal.SIGKILL)


def test_environment_needs_no_thread_when_nothing_is_slow(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run has no thread of its own."""
    monkeypatch.chdir(repository)
    before = threading.active_count()

    with skald.Logger("run", "runs"):
        during = threading.active_count()

    assert during == before


# --- several sessions ---


def test_environment_of_a_resumed_run_is_the_last_and_earlier_sessions_keep_what_differed(repository: Path) -> None:
    """Each session can be told apart by its commit, without all packages once more."""
    first = git(repository, "rev-parse", "HEAD")
    assert program(OPEN, folder=repository).returncode == 0
    (repository / "train.py").write_text("lr = 2\n", encoding="utf-8")
    git(repository, "commit", "--quiet", "--all", "--message=second")

    done = program(OPEN, folder=repository, SKALD_MODE="resume")

    assert done.returncode == 0, done.stderr
    info = skald.Run(repository / "runs" / "run").info
    assert info["environment"]["git"]["commit"] == git(repository, "rev-parse", "HEAD")
    earlier, last = (session["environment"] for session in info["sessions"])
    assert earlier["git"]["commit"] == first
    assert "packages" not in earlier
    assert last == {}


def test_environment_of_a_run_stays_when_another_process_joins(tmp_path: Path) -> None:
    """It is that of the process that began: the ranks are alike."""
    with skald.Logger("run", tmp_path / "runs"):
        done = program(OPEN, folder=tmp_path, SKALD_MODE="join")

    assert done.returncode == 0, done.stderr
    assert environment_of(tmp_path / "runs" / "run")["pid"] == os.getpid()


def test_environment_is_in_run_json_with_tags_and_notes(tmp_path: Path) -> None:
    """All that a run says of itself stands in one file."""
    skald.Logger("run", tmp_path, tags=("a", "b"), notes="why").close()

    found = json.loads((tmp_path / "run" / RUN_JSON).read_text(encoding="utf-8"))

    assert (found["tags"], found["notes"]) == (["a", "b"], "why")
    assert found["environment"]["pid"] == os.getpid()
