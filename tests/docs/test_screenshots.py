"""The pictures of the report in the documentation show the report as it is written today."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

from docs.screenshots import CHECKOUT, PICTURES, digest, report, stamp

if TYPE_CHECKING:
    from pathlib import Path

_IMAGES = CHECKOUT / "docs/images"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the page that the pictures would be made of today."""
    return digest(report(tmp_path_factory.mktemp("report")))


def test_there_are_no_others() -> None:
    """Every picture of the report is one that the script makes."""
    assert sorted(path.name for path in _IMAGES.glob("report*")) == sorted(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_of_the_present_page(name: str, current: str) -> None:
    """The page that a picture shows is, byte for byte, the one that is written now."""
    picture = (_IMAGES / name).read_bytes()
    assert stamp(picture) == current, "run `python docs/screenshots.py`, and look at the pictures"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_whole(name: str) -> None:
    """Every chunk of a picture, that of the digest included, has the checksum that its bytes have."""
    picture = (_IMAGES / name).read_bytes()
    assert picture.startswith(_SIGNATURE)
    at = len(_SIGNATURE)
    kinds: list[bytes] = []
    while at < len(picture):
        size = int.from_bytes(picture[at : at + 4], "big")
        chunk = picture[at + 4 : at + 8 + size]
        assert zlib.crc32(chunk) == int.from_bytes(picture[at + 8 + size : at + 12 + size], "big")
        kinds.append(chunk[:4])
        at += 12 + size
    assert kinds[-2:] == [b"tEXt", b"IEND"]


def test_another_page_has_another_digest(tmp_path: Path) -> None:
    """A changed letter changes the digest, and the version of weightaudit alone does not."""
    texts = (
        "Made by weightaudit 0.1.0.",
        "Made by weightaudit 0.2.0.dev3+g1234.",
        "Made by weightaudit 0.1.0!",
    )
    digests: list[str] = []
    for number, text in enumerate(texts):
        page = tmp_path / f"{number}.html"
        page.write_text(text, "utf-8")
        digests.append(digest(page))
    assert digests[0] == digests[1] != digests[2]
