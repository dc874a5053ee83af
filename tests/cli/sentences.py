"""What every refusal of the command line looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Result


def assert_one_sentence(result: Result, code: int, *words: str) -> None:
    """The command failed with this code, silent on stdout, with one sentence on stderr."""
    assert result.code == code, result
    assert result.out == ""
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("weightaudit: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err
