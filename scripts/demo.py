"""Sets everything up, trains a small network on handwritten digits, and shows what was recorded.

    python3 scripts/demo.py

Arguments go to `train_digits.py`: `python3 scripts/demo.py --epochs 5`.
"""

from __future__ import annotations

import secrets
import sys
import time

import environment


def main() -> int:
    """Run the demo, and return the exit code of the first command that failed."""
    environment.prepare()
    name = f"digits-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    environment.say("python scripts/train_digits.py")
    failed = environment.run(environment.PYTHON, "scripts/train_digits.py", "--run-name", name, *sys.argv[1:])
    if failed:
        return failed
    environment.say(f"skald show {name}")
    return environment.run(environment.BIN / "skald", "show", name)


if __name__ == "__main__":
    sys.exit(main())
