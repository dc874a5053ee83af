"""Entry point: imports nothing of weight, so that an interruption while the rest is imported is met."""

from __future__ import annotations

import sys

from weightaudit.storage.termination import INTERRUPTED


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from weightaudit.cli.running import run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
