"""Versions are signed and verified with a key: the right ones are accepted, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64decode, b64encode
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.versions.conftest import KINDS, Bench, flip, places
from tests.versions.keys import needs_signing, write_pair
from weightaudit import UsageError, open_checkpoint
from weightaudit.catalog import Extent
from weightaudit.errors import StoreError, WriteError
from weightaudit.versions.keys import PrivateKey, load_private_key, model_signing
from weightaudit.versions.layout import RECORD, TAGS
from weightaudit.versions.pruning import prune
from weightaudit.versions.signing import _write, sign, verify_signed
from weightaudit.versions.store import create_store
from weightaudit.versions.survey import survey

if TYPE_CHECKING:
    from collections.abc import Callable

    from weightaudit.versions.version import Version

pytestmark = needs_signing

NAME = "healthy.keras"


class Signed(NamedTuple):
    """A store with a signed version, the key, and another key."""

    bench: Bench
    version: Version
    key: PrivateKey
    other: PrivateKey

    @property
    def path(self) -> Path:
        """Where the signature is."""
        return self.version.directory.with_suffix(".sig")

    def damage(self, number: int = 1, name: str = NAME) -> list[str]:
        """Return what is wrong with a version or its signature, as people read it."""
        return [str(one) for one in verify_signed(self.bench.store, name, number, self.key.public)]

    def put(self, data: bytes) -> None:
        """Put other bytes in the place of the signature."""
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(data)


@pytest.fixture
def signed(bench: Bench, sources: dict[str, Path], tmp_path: Path) -> Signed:
    """A store with one version, and a signature of it."""
    key, other = (load_private_key(write_pair(tmp_path, name)[0]) for name in ("key", "other"))
    version = bench.put(sources["keras"]).version
    assert sign(version, key)
    return Signed(bench, version, key, other)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model(bench: Bench, sources: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """A version of any container can be signed and verified, and a second time nothing is written."""
    key = load_private_key(write_pair(tmp_path, "key")[0])
    version = bench.put(sources[kind]).version
    assert [str(one) for one in verify_signed(bench.store, version.name, 1, key.public)] == [
        "signature 1.sig is missing"
    ]
    assert sign(version, key)
    written = version.directory.with_suffix(".sig").read_bytes()
    assert not sign(version, key)
    assert verify_signed(bench.store, version.name, 1, key.public) == ()
    assert version.directory.with_suffix(".sig").read_bytes() == written
    assert places(version.directory.parent) == [".lock", "1", "1.sig"]
    assert not version.directory.with_suffix(".sig").stat().st_mode & 0o222
    assert [entry.is_signed for entry in survey(bench.store, [version.name])] == [True]


def test_another_signature_is_replaced_on_request_only(signed: Signed) -> None:
    """What somebody else signed stays theirs, unless it is asked for."""
    written = signed.path.read_bytes()
    with pytest.raises(UsageError, match=r"healthy.keras@1 has another signature; --force replaces it"):
        sign(signed.version, signed.other)
    assert signed.path.read_bytes() == written
    assert sign(signed.version, signed.other, force=True)
    assert signed.damage() == ["signature 1.sig is by another key"]


def test_damage_is_not_signed(signed: Signed, sources: dict[str, Path]) -> None:
    """A version with a flipped bit, in a weight or in its record, gets no signature."""
    version = signed.bench.put(sources["keras"], always=True).version
    flip(version.path, 200)
    with pytest.raises(StoreError, match=r"healthy.keras@2 is damaged, so it is not signed: file"):
        sign(version, signed.key)
    flip(version.path, 200)
    flip(version.directory / RECORD, 0)
    with pytest.raises(StoreError, match="not valid JSON"):
        sign(version, signed.key)
    assert not version.directory.with_suffix(".sig").exists()


def test_what_changes_meanwhile_is_not_signed(signed: Signed) -> None:
    """Where the version or the key is not any more what was looked at, no signature appears."""
    signed.path.unlink()
    with pytest.raises(StoreError, match="changed meanwhile, so nothing was signed"):
        _write(signed.version, signed.key, {RECORD: "0" * 64}, signed.path)
    shutil.copy(signed.other.path, signed.key.path)
    with pytest.raises(StoreError, match="changed meanwhile, so nothing was signed"):
        sign(signed.version, signed.key)
    signed.key.path.write_text("no key")
    with pytest.raises(StoreError, match=r"healthy.keras@1 cannot be signed: "):
        sign(signed.version, signed.key)
    assert places(signed.version.directory.parent) == [".lock", "1"]


def test_a_flipped_bit(signed: Signed) -> None:
    """One bit of a weight, or of the record where it stays readable, is not what was signed."""
    with open_checkpoint(signed.version.path) as model:
        storage = model.entry(next(one for one in model if one.name.endswith("kernel"))).storage
        assert isinstance(storage, Extent)
    flip(signed.version.path, storage.offset)
    *unsigned, last = signed.damage()
    assert len(unsigned) == 2
    assert last == "signature 1.sig is not of these files: healthy.keras differs"
    flip(signed.version.path, storage.offset)
    record = signed.version.directory / RECORD
    flip(record, record.read_bytes().index(b"a message"))
    assert signed.damage() == ["signature 1.sig is not of these files: weightaudit.json differs"]
    flip(record, record.read_bytes().index(b"` message"))
    assert signed.damage() == []


def test_another_model_with_a_record_of_its_own(signed: Signed, fixtures_dir: Path, tmp_path: Path) -> None:
    """A version that was made elsewhere, and is whole, is not the one that was signed."""
    model = Path(shutil.copy(fixtures_dir / "nan.keras", tmp_path / NAME))
    elsewhere = Bench(tmp_path, create_store(tmp_path / "elsewhere")).put(model).version
    shutil.rmtree(signed.version.directory)
    shutil.copytree(elsewhere.directory, signed.version.directory)
    assert signed.damage() == [
        "signature 1.sig is not of these files: healthy.keras, weightaudit.json differ"
    ]


def test_files_that_come_and_go(signed: Signed) -> None:
    """A file beside the signed ones, also a link or a pipe, and a missing one, is told in both ways."""
    extra = signed.version.directory / ".gitattributes"
    makers: list[Callable[[], object]] = [
        extra.touch,
        partial(extra.symlink_to, RECORD),
        partial(os.mkfifo, extra),
    ]
    for make in makers:
        make()
        assert signed.damage()[-1] == "signature 1.sig is not of these files: .gitattributes differs"
        extra.unlink()
    signed.version.path.unlink()
    assert signed.damage()[-1] == "signature 1.sig is not of these files: healthy.keras differs"


def test_signatures_of_other_versions(signed: Signed, sources: dict[str, Path]) -> None:
    """Of two versions with the same files, each has a signature of its own: a swap is found in both."""
    second = signed.bench.put(sources["keras"], always=True).version
    sign(second, signed.key)
    assert signed.damage() == signed.damage(2) == []
    first, other = signed.path.read_bytes(), second.directory.with_suffix(".sig").read_bytes()
    signed.put(other)
    second.directory.with_suffix(".sig").unlink()
    second.directory.with_suffix(".sig").write_bytes(first)
    assert signed.damage() == ["signature 1.sig is not of these files: weightaudit.json differs"]
    assert signed.damage(2) == ["signature 2.sig is not of these files: weightaudit.json differs"]


def test_what_is_no_file_of_its_own(signed: Signed, tmp_path: Path) -> None:
    """A link to the right signature, a pipe and a directory are refused, and not written through."""
    kept = tmp_path / "kept.sig"
    signed.path.rename(kept)
    makers: list[tuple[Callable[[], object], str]] = [
        (partial(signed.path.symlink_to, kept), "cannot be opened"),
        (partial(signed.path.symlink_to, tmp_path / "nowhere" / "kept.sig"), "cannot be opened"),
        (partial(os.mkfifo, signed.path), "is not a regular file"),
        (signed.path.mkdir, "is not a regular file"),
    ]
    for make, why in makers:
        make()
        (found,) = signed.damage()
        assert found.startswith(f"signature 1.sig cannot be used: 1.sig {why}")
        with pytest.raises(WriteError, match=r"1.sig cannot be replaced: it is not a regular file"):
            sign(signed.version, signed.key, force=True)
        assert places(signed.version.directory.parent) == [".lock", "1", "1.sig"]
        (signed.path.rmdir if signed.path.is_dir() else signed.path.unlink)()
    assert places(tmp_path) == ["kept.sig", "key.pem", "key.pub", "other.pem", "other.pub", "store"]


def edited(*path: str | int, value: Any = None) -> Callable[[dict[str, Any]], None]:
    """Return what sets a value in a signature, or takes it away."""

    def edit(document: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return edit


ENVELOPE, HINT = "dsseEnvelope", ("verificationMaterial", "publicKey", "hint")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (edited("mediaType", value="text/plain"), "is refused by model-signing: "),
        (edited("mediaType"), "is no signature that model-signing makes with a key"),
        (edited(*HINT), "is no signature that model-signing makes with a key"),
        (edited(*HINT, value="0" * 64), "is by another key"),
        (edited("verificationMaterial", value=[]), "is no signature that model-signing makes with a key"),
        (edited(ENVELOPE, "payload", value="no base64"), "is no signature that model-signing makes"),
        (edited(ENVELOPE, "payload", value=7), "is no signature that model-signing makes"),
        (edited(ENVELOPE, "payload", value="e30="), "is no signature that model-signing makes"),
        (edited(ENVELOPE, "payload", value="W10="), "is no signature that model-signing makes"),
        (edited(ENVELOPE, "signatures"), "is refused by model-signing"),
        (edited(ENVELOPE, "signatures", value=[]), "is refused by model-signing"),
        (edited(ENVELOPE, "signatures", 0, "sig", value="AAAA"), "was changed after it was made"),
        (edited(ENVELOPE, "payloadType", value="text/plain"), "is refused by model-signing: Expected DSSE"),
        (edited(ENVELOPE, "payload_type", value=float("nan")), "is refused by model-signing"),
        (edited(ENVELOPE, "keyid", value="\ud800"), "is refused by model-signing"),
    ],
)
def test_a_signature_that_was_tampered_with(
    signed: Signed, edit: Callable[[dict[str, Any]], None], words: str
) -> None:
    """Whatever is changed in a signature, it is refused with a reason."""
    document = json.loads(signed.path.read_bytes())
    edit(document)
    signed.put(json.dumps(document).encode())
    (found,) = signed.damage()
    assert words in found


def test_names_in_a_statement_are_signed(signed: Signed) -> None:
    """Files that are written into the statement afterwards, under whatever encoding, do not count."""
    document = json.loads(signed.path.read_bytes())
    payload = document[ENVELOPE]["payload"]
    statement = json.loads(b64decode(payload))
    statement["predicate"]["resources"].append({"name": "x", "digest": "0" * 64, "algorithm": "sha256"})
    document[ENVELOPE]["payload"] = b64encode(json.dumps(statement).encode()).decode()
    signed.put(json.dumps(document).encode())
    assert signed.damage() == ["signature 1.sig was changed after it was made"]
    for other in (f"{payload[:8]}\n{payload[8:]}", f"{payload}=", f"-{payload}"):
        document[ENVELOPE]["payload"] = other
        signed.put(json.dumps(document).encode())
        assert "is no signature that model-signing makes with a key" in signed.damage()[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 64,
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"mediaType": 1, "mediaType": 2}',
        b"[" * 100_000,
        b'{"mediaType": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"mediaType": 1, "verificationMaterial": 2, "dsseEnvelope": 3}',
    ],
)
def test_what_is_no_signature(signed: Signed, data: bytes) -> None:
    """Anything else in its place is one sentence."""
    signed.put(data)
    (found,) = signed.damage()
    assert found.startswith("signature 1.sig cannot be used: 1.sig ")


def test_a_huge_signature_is_not_read(signed: Signed) -> None:
    """A file of a terabyte is refused by its size."""
    os.truncate(signed.path, 1 << 40)
    assert signed.damage() == [
        "signature 1.sig cannot be used: 1.sig is larger than any signature: 1099511627776 bytes"
    ]


def test_a_forged_fingerprint(signed: Signed) -> None:
    """A signature by another key that claims to be by this one is found out."""
    sign(signed.version, signed.other, force=True)
    document = json.loads(signed.path.read_bytes())
    edited(*HINT, value=signed.key.public.fingerprint)(document)
    signed.put(json.dumps(document).encode())
    assert signed.damage() == ["signature 1.sig was changed after it was made"]


def made_elsewhere(signed: Signed, version: Version, **options: Any) -> None:
    """Sign a version with model-signing itself, told to leave some files out."""
    config = model_signing().signing.Config().use_elliptic_key_signer(private_key=signed.key.path)
    if options:
        config.set_hashing_config(model_signing().hashing.Config().set_ignored_paths(**options))
    config.sign(version.directory, version.directory.with_suffix(".sig"))


def test_what_a_signature_leaves_out(signed: Signed, sources: dict[str, Path], tmp_path: Path) -> None:
    """One that is by the right key, but not over every file, the record included, is not enough."""
    for left_out in (RECORD, NAME):
        signed.path.unlink()
        made_elsewhere(signed, signed.version, paths=[left_out])
        assert signed.damage() == [f"signature 1.sig does not cover {left_out}"]
    model = Path(shutil.copytree(sources["saved_model"], tmp_path / "model"))
    (model / ".gitattributes").write_text("* text")
    version = signed.bench.put(model).version
    made_elsewhere(signed, version)
    assert signed.damage(1, "model") == ["signature 1.sig does not cover .gitattributes"]
    assert sign(version, signed.key, force=True)
    assert signed.damage(1, "model") == []


def test_a_second_envelope(signed: Signed) -> None:
    """What model-signing would take for the statement is what we look at, whatever else is in the file."""
    whole = json.loads(signed.path.read_bytes())
    signed.path.unlink()
    made_elsewhere(signed, signed.version, paths=[NAME])
    partial = json.loads(signed.path.read_bytes())
    for first, second in ((whole, partial), (partial, whole)):
        signed.put(json.dumps(first | {"dsse_envelope": second[ENVELOPE]}).encode())
        assert signed.damage() == ([] if first is whole else [f"signature 1.sig does not cover {NAME}"])


def test_a_version_without_a_record(signed: Signed) -> None:
    """Where the record cannot be used that is said once, and nothing of the signature."""
    flip(signed.version.directory / RECORD, 0)
    (found,) = signed.damage()
    assert found.startswith("record weightaudit.json cannot be used")
    assert signed.damage(7)[0].startswith("record weightaudit.json cannot be used: There is no version")


def test_pruning_takes_signatures_along(signed: Signed, sources: dict[str, Path]) -> None:
    """A removed version leaves no signature, and those of the others stay good."""
    second = signed.bench.put(sources["keras"], always=True).version
    sign(second, signed.key)
    assert prune(signed.bench.store, NAME, keep=1, dry_run=True) == (1,)
    assert signed.path.exists()
    assert prune(signed.bench.store, NAME, keep=1) == (1,)
    assert places(second.directory.parent) == [".lock", "2", "2.sig"]
    assert signed.damage(2) == []


def test_a_signature_of_nothing(signed: Signed, sources: dict[str, Path]) -> None:
    """One that is left without its version disturbs nobody, and the next version does not inherit it."""
    folder = signed.version.directory.parent
    for stray in ("7.sig", "0.sig", "x.sig"):
        shutil.copy(signed.path, folder / stray)
    shutil.rmtree(signed.version.directory)
    (folder / TAGS).write_text("{}")
    store = signed.bench.store
    assert (store.models(), survey(store, [NAME])) == ([], [])
    assert signed.bench.put(sources["keras"]).version.number == 1
    # Names that no version has are not ours to remove.
    assert places(folder) == [".lock", "0.sig", "1", TAGS, "x.sig"] == sorted(places(folder))
    assert [entry.is_signed for entry in survey(store, [NAME])] == [False]
    assert signed.damage() == ["signature 1.sig is missing"]
