"""Commands on folders whose layout is a question, or was read in another way before."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepcnn.config.loading import load_config
from tests.check.photos import photo, write_config, write_photos
from tests.cli.conftest import Invoke

FIELD = "data.source.Folder.layout"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_split_folders_in_folders_are_no_classes(invoke: Invoke) -> None:
    names = ("cats", "dogs")
    counts = {f"{s}__{s}__{c}": 4 for s in ("training_set", "test_set") for c in names}
    write_photos(Path("photos"), **counts)
    code, out, err = invoke("init", "photos")
    assert code == 0
    assert out.startswith(
        "wrote photos.yaml: 8 training images of 2 classes\nclasses: cats, dogs\n"
    )
    assert err == "note: the folders are read as split/any/class (layout of Folder)\n"
    code, out, _ = invoke("check", "photos.yaml")
    assert "\nclasses: cats, dogs\n" in out
    assert "data: the folders are read as split/any/class (layout of Folder)" in out


def test_init_asks_and_takes_the_answer(invoke: Invoke, tmp_path: Path) -> None:
    counts = {f"{c}__{s}": 4 for c in ("cats", "dogs") for s in ("indoor", "outdoor")}
    write_photos(Path("photos"), **counts)
    code, _, err = invoke("init", "photos")
    assert (code, err) == (
        2,
        "error: photos: the classes may be 'cats', 'dogs', or 'indoor', 'outdoor'\n"
        "   set layout: class for the former, any/class for the latter (options of init: "
        "--layout, --exclude)\n",
    )
    assert not list(tmp_path.glob("*.yaml"))
    code, out, _ = invoke("init", "photos", "--layout", "any/class", "--exclude", "*.gif")
    assert code == 0
    assert "\nclasses: indoor, outdoor\n" in out
    source = load_config(Path("photos.yaml")).data.source
    assert (source.layout, source.exclude) == ("any/class", ("*.gif",))  # type: ignore[attr-defined]
    assert invoke("init", "--like", "xception_mini", "photos", "--layout", "class")[0] == 0
    assert "{path: photos, layout: class}" in Path("xception_mini.yaml").read_text()
    assert invoke("init", "photos", "--layout", "classes")[0] == 2


def test_init_refuses_a_folder_without_a_readable_file(invoke: Invoke, tmp_path: Path) -> None:
    for name in ("a/1.raw", "b/2.raw", "b/notes.txt"):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    message = "error: photos: there is no image that can be read; left out: 3 files: .raw 2, .txt 1"
    for arguments in (["photos"], ["--like", "xception_mini", "photos"]):
        code, _, err = invoke("init", *arguments)
        assert (code, err.splitlines()[0]) == (2, message)
    assert not list(tmp_path.glob("**/*.yaml"))


def test_init_like_refuses_images_that_cannot_be_read(invoke: Invoke, tmp_path: Path) -> None:
    for name in ("a/1.jpg", "b/2.jpg"):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no image")
    code, _, err = invoke("init", "--like", "xception_mini", "photos")
    assert (code, err.splitlines()[0]) == (2, "error: photos: none of the images can be read")
    assert not list(tmp_path.glob("**/*.yaml"))


def test_a_folder_with_a_config_may_get_another(invoke: Invoke) -> None:
    assert invoke("init", "new")[0] == 0
    assert invoke("init", "--like", "xception_mini", "new")[0] == 0


def test_left_out_files_are_counted_everywhere(invoke: Invoke) -> None:
    write_photos(Path("photos"), cat=20, dog=20)
    for name in ("cat/notes.txt", "dog/1.raw", "dog/@eaDir/0.png"):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    note = "left out: 2 files: .raw 1, .txt 1; hidden or of the system: @eaDir 1"
    config = write_config(Path(), train="epochs: 1, batch_size: 8, device: cpu")
    assert invoke("init", "photos")[2] == f"note: {note}\n"
    assert f"  data: {note}\n" in invoke("check", config)[1]
    assert f"note: {note}\n" in invoke("train", config, "--run-dir", "run")[2]
    photo(99).save("photos/cat/photo", "PNG")  # without a suffix
    code, out, err = invoke("predict", "run", "photos/cat")
    assert (code, len(out.splitlines())) == (0, 21)
    assert err == "note: left out: 1 file: .txt 1\n"


def test_older_runs_learn_how_to_read_their_folders(invoke: Invoke) -> None:
    counts = {f"{c}__{s}": 8 for c in ("cats", "dogs") for s in ("indoor", "outdoor")}
    write_photos(Path("photos"), **counts)
    config = write_config(Path(), "{Folder: {path: photos, layout: class}}")
    assert invoke("train", config, "--run-dir", "run")[0] == 0
    automatic, given = [["--set", f"{FIELD}={value}"] for value in ("null", "class")]
    hint = "   an earlier version read them as class or split/class: "
    hint += "--set data.source.Folder.layout=class"
    longer = ["--set", "train.epochs=3"]
    for command in (["train", "--resume", "run", *longer], ["eval", "run"]):
        code, _, err = invoke(*command, *automatic)
        assert (code, err.splitlines()[-1]) == (2, hint)
        assert "the classes may be 'cats', 'dogs', or 'indoor', 'outdoor'" in err
        assert invoke(*command, *given)[0] == 0


def test_older_runs_that_learned_splits_as_classes(invoke: Invoke) -> None:
    counts = {f"{s}__{c}": 8 for s in ("training_set", "test_set") for c in ("cats", "dogs")}
    write_photos(Path("photos"), **counts)
    config = write_config(Path(), "{Folder: {path: photos, layout: class}}")
    assert invoke("train", config, "--run-dir", "run")[0] == 0
    automatic = ["--set", f"{FIELD}=null"]
    hint = f"   if only the reading of the folders differs: --set {FIELD}=class"
    for command in (["train", "--resume", "run", "--set", "train.epochs=3"], ["eval", "run"]):
        code, _, err = invoke(*command, *automatic)
        assert (code, err.splitlines()[-1]) == (2, hint)
