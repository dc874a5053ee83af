"""Files are opened once, read by position, and never trusted to stay the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weightaudit.errors import ReadError
from weightaudit.source import Files, LocalFile


def test_read_by_position(tmp_path: Path) -> None:
    """Bytes come from the place asked for."""
    (tmp_path / "a").write_bytes(b"0123456789")
    with Files(tmp_path) as files:
        assert files[files.open("a")].read(3, 4) == b"3456"


def test_short_file_is_an_error(tmp_path: Path) -> None:
    """A file that ends too early gives an error that names it, not short data."""
    (tmp_path / "a").write_bytes(b"0123")
    with Files(tmp_path) as files, pytest.raises(ReadError, match="a ends at byte 4"):
        files[files.open("a")].read(2, 4)


def test_each_file_is_opened_once(tmp_path: Path) -> None:
    """Asking for a file again gives the number of the one that is open."""
    (tmp_path / "a").write_bytes(b"x")
    with Files(tmp_path) as files:
        assert files.open("a") == files.open("a") == 0
        assert len(files) == 1


@pytest.mark.parametrize("what", ["fifo", "directory", "missing"])
def test_only_regular_files(tmp_path: Path, what: str) -> None:
    """A FIFO, a directory or a missing file is refused at once; opening a FIFO would hang."""
    path = tmp_path / "a"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    with pytest.raises(ReadError, match=r"^a (is not a regular file|cannot be opened)"):
        LocalFile(path)


def test_link_out_of_the_model(tmp_path: Path) -> None:
    """A link inside a model that leads outside is refused, so that no other file is read."""
    (tmp_path / "secret").write_bytes(b"x")
    model = tmp_path / "model"
    model.mkdir()
    (model / "shard").symlink_to(tmp_path / "secret")
    with Files(model) as files, pytest.raises(ReadError, match="leads outside"):
        files.open("shard")


def test_link_out_of_the_model_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that becomes a link to outside once it is known to be none is not followed."""
    model, outside = tmp_path / "model", tmp_path / "outside"
    for folder in (model / "variables", outside):
        folder.mkdir(parents=True)
        (folder / "index").write_bytes(b"x")
    resolve = os.path.realpath

    def resolve_and_replace(path: str | os.PathLike[str]) -> str:
        found = resolve(path)
        (model / "variables").rename(model / "old")
        (model / "variables").symlink_to(outside)
        return found

    with Files(model) as files:
        monkeypatch.setattr(os.path, "realpath", resolve_and_replace)
        before = len(list(Path("/dev/fd").iterdir()))
        with pytest.raises(ReadError, match="variables/index cannot be opened: Not a directory"):
            files.open("variables/index")
        assert len(list(Path("/dev/fd").iterdir())) == before


def test_link_inside_the_model(tmp_path: Path) -> None:
    """A link to a file of the same model is followed."""
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to("a")
    with Files(tmp_path) as files:
        assert files[files.open("b")].read(0, 1) == b"x"


def test_change_while_open_is_noticed(tmp_path: Path) -> None:
    """A file that is written to between opening and the end of the audit is an error."""
    path = tmp_path / "a"
    path.write_bytes(b"0123")
    with Files(tmp_path) as files:
        files.open("a")
        files.check_unchanged()
        path.write_bytes(b"01234")
        with pytest.raises(ReadError, match="changed while it was read"):
            files.check_unchanged()


def test_a_directory_put_in_its_place(tmp_path: Path) -> None:
    """Names are resolved in the directory that was opened, not in one that takes its name meanwhile."""
    for name in ("model", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index").write_text(name)
        (tmp_path / name / "shard").write_text(name)
    (tmp_path / "other" / "more").touch()
    with Files(tmp_path / "model") as files:
        files.open("index")
        (tmp_path / "model").rename(tmp_path / "away")
        (tmp_path / "other").rename(tmp_path / "model")
        assert files[files.open("shard")].read(0, 5) == b"model"
        assert files.listing() == ["index", "shard"]
        assert not files.exists("more")
        files.check_unchanged()


def test_one_of_several_files_is_replaced(tmp_path: Path) -> None:
    """A model of several files is refused when a name leads to another file by its end; one file is whole."""
    for name in ("variables", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index").write_text(name)
    (tmp_path / "model").touch()
    with Files(tmp_path) as files:
        files.open("variables/index")
        (tmp_path / "variables").rename(tmp_path / "away")
        (tmp_path / "other").rename(tmp_path / "variables")
        files.check_unchanged()
        files.open("model")
        with pytest.raises(ReadError, match="variables/index was replaced while the model was read"):
            files.check_unchanged()


def test_what_exists(tmp_path: Path) -> None:
    """A link that leads nowhere is there but leads to nothing, and odd names are no files."""
    (tmp_path / "link").symlink_to("nowhere")
    with Files(tmp_path) as files:
        assert not files.exists("link")
        assert files.exists("link", even_dangling=True)
        assert not files.exists("a\0b")
        assert files.listing("link") == files.listing("nowhere") == []


def test_no_such_directory(tmp_path: Path) -> None:
    """A model below a directory that is not there is refused by the directory's name."""
    with pytest.raises(ReadError, match="gone cannot be opened: No such file"):
        Files(tmp_path / "gone")
