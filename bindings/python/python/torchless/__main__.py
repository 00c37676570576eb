"""``python -m torchless``: the command."""

from __future__ import annotations

import sys

from . import _native


def main() -> int:
    """Runs the command with the words of this process, and gives its exit status."""
    sys.stdout.flush()
    return _native.run_command(["torchless", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
