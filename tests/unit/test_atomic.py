from pathlib import Path

import pytest

from david_hf.atomic import new_folder, whole_file, write_text


def test_a_file_is_replaced_as_a_whole_or_left_alone(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "before: é")

    def fail_halfway() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_halfway()
    assert path.read_text("utf-8") == "before: é"
    assert list(tmp_path.iterdir()) == [path]

    write_text(path, "after")
    assert path.read_text("utf-8") == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_with_all_its_files_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"

    def fail_halfway() -> None:
        with new_folder(target) as folder:
            (folder / "a.txt").write_text("a")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_halfway()
    assert not any(target.parent.iterdir())

    with new_folder(target) as folder:
        (folder / "a.txt").write_text("a")
        assert not target.exists()
    assert [file.name for file in target.iterdir()] == ["a.txt"]

    with pytest.raises(ValueError, match="exists already"), new_folder(target):
        pass
