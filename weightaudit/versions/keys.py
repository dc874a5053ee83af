"""Keys that versions are signed and verified with: PEM files, as ``openssl`` makes them."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from weightaudit.errors import ReadError, UsageError
from weightaudit.source import LocalFile

PASSWORD_VARIABLE = "WEIGHTAUDIT_KEY_PASSWORD"  # noqa: S105 - where a password is, not what it is
"""Environment variable with the password of an encrypted key: other users can see a process's options."""

_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
"""What model-signing takes: NIST P-256, P-384 and P-521, by OpenSSL's names."""
_LARGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures.

    Attributes:
        pem: The key in PEM form (SubjectPublicKeyInfo), without what may stand around it in its file.
        fingerprint: Hexadecimal SHA-256 of `pem`, by which a signature says whose it is.
    """

    pem: bytes
    fingerprint: str


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs; the file was looked at, its content is not kept.

    Attributes:
        path: The file that holds it.
        password: What it is encrypted with; None if it is not.
        public: The key that verifies what it signs.
    """

    path: Path
    password: bytes | None = field(repr=False)
    public: PublicKey


def load_public_key(path: Path) -> PublicKey:
    """Return the public key that a file holds.

    Raises:
        UsageError: The file cannot be read, or holds no such key; or packages are missing.
    """
    model_signing()  # it brings cryptography
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read(path)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        what = (
            "a private key; give the public one"
            if b"PRIVATE KEY-----" in data
            else "no public key in PEM form"
        )
        raise UsageError(f"{path} holds {what}.") from None
    return _public(key, path)


def load_private_key(path: Path, password: str | None = None) -> PrivateKey:
    """Return the private key that a file holds.

    Args:
        path: The file.
        password: What it is encrypted with; not looked at if it is not.

    Raises:
        UsageError: The file cannot be read, holds no such key, or needs another password; or packages
            are missing.
    """
    model_signing()  # it brings cryptography
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path)
    secret = password.encode(errors="surrogateescape") if password and _is_encrypted(data) else None
    try:
        key = load_pem_private_key(data, secret)
    except TypeError:
        raise UsageError(
            f"{path} is encrypted; set the environment variable {PASSWORD_VARIABLE} to its password."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        if secret is not None:
            what = f"cannot be decrypted with the password in {PASSWORD_VARIABLE}"
        elif b"PUBLIC KEY-----" in data:
            what = "holds a public key; give the private one"
        else:
            what = "holds no private key in PEM form"
        raise UsageError(f"{path} {what}.") from None
    return PrivateKey(path, secret, _public(key.public_key(), path))


def model_signing() -> Any:
    """Return the package that signs and verifies; its types are not complete.

    Raises:
        UsageError: It is not installed, or one that it needs.
    """
    try:
        return import_module("model_signing")
    except ImportError as error:
        raise UsageError(
            f"Signatures need packages that are not installed ({error.name}): pip install 'weightaudit[sign]'"
        ) from error


def _read(path: Path) -> bytes:
    # A link is followed: where secrets are mounted, that is what they are.
    try:
        with closing(LocalFile(Path(os.path.realpath(path)), label=str(path))) as file:
            return file.read(0, min(file.size, _LARGEST))
    except ReadError as error:
        raise UsageError(str(error)) from error


def _is_encrypted(data: bytes) -> bool:
    return b"ENCRYPTED" in data  # both in the label of PKCS #8 and in the header of older files


def _public(key: object, path: Path) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise UsageError(
            f"{path} holds a key of another kind than versions are signed with; make one on a NIST curve: "
            "openssl ecparam -name prime256v1 -genkey -noout"
        )
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(pem, hashlib.sha256(pem).hexdigest())
