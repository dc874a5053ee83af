"""Signatures of versions, made and verified by OpenSSF model signing with a key of one's own, offline.

A signature is a file beside the version, ``<store>/<name>/<number>.sig``: a Sigstore bundle around an
in-toto statement, which names every file of the version, the record among them, by its digest.
"""

from __future__ import annotations

import json
import stat
from base64 import b64decode, b64encode
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from weightaudit.digests import source_digest
from weightaudit.errors import ReadError, StoreError, UsageError, WeightauditError
from weightaudit.formats.documents import parse_json
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.source import LocalFile
from weightaudit.storage.failures import writing
from weightaudit.storage.publishing import replace_file
from weightaudit.storage.staging import Staging
from weightaudit.versions.contents import contents
from weightaudit.versions.keys import model_signing
from weightaudit.versions.layout import RECORD, is_there, signature_path
from weightaudit.versions.lock import WAIT
from weightaudit.versions.store import Store
from weightaudit.versions.verifying import Damage, verify, verify_number
from weightaudit.versions.version import open_stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from weightaudit.versions.keys import PrivateKey, PublicKey
    from weightaudit.versions.version import Version

_LARGEST = 16 << 20
"""Bytes of a signature at most: a file of the version takes about 200, so it may have 80,000."""
_PARTS = ("mediaType", "verificationMaterial", "dsseEnvelope")
_TOLD = 3
"""Files that a message names; the others are counted."""


class _Signature(NamedTuple):
    """What a signature says. Before it is verified, anybody may have written that.

    Attributes:
        bundle: The parts of it that model-signing looks at, and nothing else.
        fingerprint: Of the key that it says it is by.
        files: Digest of every file, by its path below the version's directory.
    """

    bundle: dict[str, Any]
    fingerprint: str
    files: dict[str, str]


def sign(version: Version, key: PrivateKey, *, force: bool = False, wait: float = WAIT) -> bool:
    """Sign a version, once every byte of it was read again and compared with its record.

    Args:
        version: The version.
        key: The key to sign with.
        force: Replace the signature that it has, which is by another key or not of these files.
        wait: Seconds to wait for another process.

    Returns:
        Whether it was signed now; otherwise it has a signature by this key already.

    Raises:
        StoreError: The version is damaged or gone, or changes meanwhile; the store is in use for longer.
        UsageError: It has another signature, or packages are missing.
        WriteError: The signature cannot be written; an older one is untouched.
    """
    model_signing()
    store = Store(version.store)
    with store.locked(version.name, wait=wait) as folder:
        record = _digest(version.directory, RECORD)
        version = store.get(version.name, version.number)
        if damage := verify(version):
            raise StoreError(f"{version.address} is damaged, so it is not signed: {damage[0]}.")
        path = signature_path(folder, version.number)
        if is_there(path) and not force:
            if not _fault(version, key.public):
                return False
            raise UsageError(f"{version.address} has another signature; --force replaces it.")
        expected = {one.path: one.sha256 for one in version.record.files}
        _write(version, key, expected | {RECORD: record}, path)
    return True


def verify_signed(store: Store, name: str, number: int, key: PublicKey) -> tuple[Damage, ...]:
    """Do what `verify_number` does, and demand a signature of the version that a key verifies.

    Raises:
        UsageError: Packages are missing.
    """
    model_signing()
    damage = verify_number(store, name, number)
    try:
        version = store.get(name, number)
    except StoreError:  # it has been told; where the record cannot be used, nothing says what is signed
        return damage
    fault = _fault(version, key)
    path = signature_path(version.directory.parent, number)
    return (*damage, Damage("signature", path.name, fault)) if fault else damage


def _write(version: Version, key: PrivateKey, expected: dict[str, str], path: Path) -> None:
    """Sign a version, and give the signature its name if it is of exactly the files that are expected."""
    failure = f"The signature of {version.address} cannot be written"
    with Staging(version.directory) as staging:  # in the store, wherever a link in place of `path` leads
        made = staging.path / path.name
        try:
            with writing(failure):
                signer = model_signing().signing.Config()
                signer.use_elliptic_key_signer(private_key=key.path, password=key.password)
                signer.set_hashing_config(_hashing()).sign(version.directory, made)
                made.chmod(stat.S_IMODE(made.stat().st_mode) & 0o444)
        except WeightauditError:
            raise
        except Exception as error:
            raise StoreError(f"{version.address} cannot be signed: {_phrase(error)}.") from error
        signature = _read(made)
        if (signature.fingerprint, signature.files) != (key.public.fingerprint, expected):
            raise StoreError(
                f"{version.address} or the key changed meanwhile, so nothing was signed; "
                "`weightaudit versions verify` says more."
            )
        replace_file(made, path, follow_link=False)


def _fault(version: Version, key: PublicKey) -> str:
    """Return what is wrong with the signature of a version: a phrase, such as ``is missing``, or nothing."""
    path = signature_path(version.directory.parent, version.number)
    if not is_there(path):
        return "is missing"
    try:
        signature = _read(path)
        if signature.fingerprint != key.fingerprint:
            return "is by another key"
        if refusal := _refusal(version.directory, signature, key):
            return refusal
        # model-signing leaves out what the signature says it leaves out, and be it the record.
        unsigned = contents(version.directory).files.keys() - signature.files.keys()
    except ReadError as error:
        return f"cannot be used: {_phrase(error)}"
    return f"does not cover {_listed(unsigned)}" if unsigned else ""


def _refusal(directory: Path, signature: _Signature, key: PublicKey) -> str:
    """Return why a signature is not one of these files by this key: a phrase, or nothing."""
    from cryptography.exceptions import InvalidSignature

    try:
        _verify(directory, signature, key)
    except InvalidSignature:
        return "was changed after it was made"
    except OSError as error:
        return f"cannot be verified: {error.strerror or _phrase(error)}"
    except Exception as error:  # noqa: BLE001 - whatever model-signing raises, it has not accepted this
        wrong = _differing(directory, signature.files)
        if not wrong:
            return f"is refused by model-signing: {_phrase(error)}"
        return f"is not of these files: {_listed(wrong)} {'differs' if len(wrong) == 1 else 'differ'}"
    return ""


def _verify(directory: Path, signature: _Signature, key: PublicKey) -> None:
    """Have model-signing verify a signature; it returns if that is right, and raises all kinds of errors."""
    with TemporaryDirectory(prefix="weightaudit-") as folder:
        # Copies: model-signing opens what it is given by name, and would wait for a pipe for ever.
        public, bundle = Path(folder, "key.pem"), Path(folder, "bundle.json")
        public.write_bytes(key.pem)
        bundle.write_text(json.dumps(signature.bundle))
        verifier = model_signing().verifying.Config().use_elliptic_key_verifier(public_key=public)
        verifier.set_hashing_config(_hashing()).verify(directory, bundle)


def _hashing() -> Any:
    # By default it leaves out files that Git uses, as if they could not do harm in a model.
    return model_signing().hashing.Config().set_ignored_paths(paths=(), ignore_git_paths=False)


def _read(path: Path) -> _Signature:
    """Return what a signature says, whoever wrote that.

    Raises:
        ReadError: It cannot be read, is too large, or is no signature with a key.
    """
    with closing(LocalFile(path)) as file:
        if file.size > _LARGEST:
            raise ReadError(f"{file.label} is larger than any signature: {file.size} bytes.")
        document = parse_json(file.read(0, file.size), file.label, DEFAULT_LIMITS)
    try:
        bundle = {part: document[part] for part in _PARTS}
        statement = parse_json(_decoded(bundle["dsseEnvelope"]["payload"]), path.name, DEFAULT_LIMITS)
        resources = statement["predicate"]["resources"]
        files = {str(one["name"]): str(one["digest"]) for one in resources}
        return _Signature(bundle, str(bundle["verificationMaterial"]["publicKey"]["hint"]), files)
    except (LookupError, TypeError, ValueError) as error:
        raise ReadError(f"{path.name} is no signature that model-signing makes with a key.") from error


def _decoded(payload: str) -> bytes:
    """Return what Base64 stands for; ValueError for what two decoders could understand differently."""
    data = b64decode(payload)
    if b64encode(data).decode() != payload:
        raise ValueError
    return data


def _differing(directory: Path, signed: dict[str, str]) -> list[str]:
    """Return the files that a signature has with another digest, or not at all, or that are not there."""
    there = {path: _digest(directory, path) for path in contents(directory).files}
    return [path for path in sorted(signed.keys() | there.keys()) if signed.get(path) != there.get(path)]


def _digest(directory: Path, path: str) -> str:
    """Return the digest of a file of a version, nothing if it is no file that can be read."""
    try:
        with closing(open_stored(directory, path)) as file:
            return source_digest(file)
    except ReadError:
        return ""


def _listed(names: Iterable[str]) -> str:
    first = sorted(names)
    more = f" and {len(first) - _TOLD} more" if len(first) > _TOLD else ""
    return f"{', '.join(first[:_TOLD])}{more}"


def _phrase(error: Exception) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0].removesuffix(".")
