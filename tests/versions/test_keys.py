"""Only a key that can do the work is taken, and anything else is one sentence before anything is read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.versions.keys import CURVES, needs_signing, write_pair
from weightaudit import UsageError
from weightaudit.versions.keys import load_private_key, load_public_key

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_signing


def test_both_halves_of_a_key_are_one(tmp_path: Path) -> None:
    """On each curve, the private key leads to the public one, also through a link and with text around it."""
    for number, curve in enumerate(CURVES):
        private, public = write_pair(tmp_path, str(number), curve)
        public.write_bytes(b"of the release team\n" + public.read_bytes() + b"\n")
        link = tmp_path / f"link-{number}"
        link.symlink_to(private)
        assert load_private_key(link).public == load_public_key(public)


def test_what_is_no_key(tmp_path: Path) -> None:
    """A file that is none, one of the wrong half, of another kind, or that is not there is told apart."""
    private, public = write_pair(tmp_path, "right")
    wrong, wrong_public = write_pair(tmp_path, "rsa", "RSA")
    other, other_public = write_pair(tmp_path, "other", "SECP256K1")
    text, pipe = tmp_path / "text.pem", tmp_path / "pipe"
    text.write_text("-----BEGIN nothing-----\n")
    os.mkfifo(pipe)
    for path, words in (
        (public, "right.pub holds a public key; give the private one."),
        (wrong, "rsa.pem holds a key of another kind"),
        (other, "other.pem holds a key of another kind"),
        (text, "text.pem holds no private key in PEM form."),
        (pipe, "pipe is not a regular file."),
        (tmp_path, "is not a regular file."),
        (tmp_path / "none.pem", "none.pem cannot be opened: No such file or directory."),
    ):
        with pytest.raises(UsageError, match=words):
            load_private_key(path)
    for path, words in (
        (private, "right.pem holds a private key; give the public one."),
        (wrong_public, "rsa.pub holds a key of another kind"),
        (other_public, "other.pub holds a key of another kind"),
        (text, "text.pem holds no public key in PEM form."),
        (pipe, "pipe is not a regular file."),
        (tmp_path / "none.pub", "none.pub cannot be opened: No such file or directory."),
    ):
        with pytest.raises(UsageError, match=words):
            load_public_key(path)


def test_encrypted_keys(tmp_path: Path) -> None:
    """In both forms that OpenSSL writes, an encrypted key takes its password and no other."""
    plain, public = write_pair(tmp_path, "plain")
    new, new_public = write_pair(tmp_path, "new", password=b"pass word")
    old, old_public = write_pair(tmp_path, "old", password=b"pass word", old=True)
    assert load_private_key(new, "pass word").public == load_public_key(new_public)
    assert load_private_key(old, "pass word").public == load_public_key(old_public)
    for path in (new, old):
        for nothing in (None, ""):
            with pytest.raises(UsageError, match=r"is encrypted; set .* WEIGHTAUDIT_KEY_PASSWORD to"):
                load_private_key(path, nothing)
        with pytest.raises(UsageError, match="cannot be decrypted with the password"):
            load_private_key(path, "password")
    # One that is set for other keys does no harm, and is not shown.
    assert load_private_key(plain, "pass word").public == load_public_key(public)
    assert "pass word" not in repr(load_private_key(new, "pass word"))
