"""Keys to sign and verify with, made as users make them: private and public PEM files."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CURVES = ("SECP256R1", "SECP384R1", "SECP521R1")

needs_signing = pytest.mark.skipif(
    find_spec("model_signing") is None, reason="signatures need: pip install 'weightaudit[sign]'"
)
"""For tests that make or verify signatures."""


def write_pair(
    folder: Path, name: str, kind: str = CURVES[0], *, password: bytes | None = None, old: bool = False
) -> tuple[Path, Path]:
    """Write ``NAME.pem`` and ``NAME.pub``, of a new key, and return their paths.

    Args:
        folder: Where to.
        name: Of the files, without suffix.
        kind: A curve as `cryptography` calls it, or ``RSA``.
        password: What the private key is encrypted with; by default it is not.
        old: Whether it is written as OpenSSL did before PKCS #8.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = (
        rsa.generate_private_key(65537, 2048)
        if kind == "RSA"
        else ec.generate_private_key(getattr(ec, kind)())
    )
    hidden = BestAvailableEncryption(password) if password else NoEncryption()
    form = PrivateFormat.TraditionalOpenSSL if old else PrivateFormat.PKCS8
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, form, hidden))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public
