"""`sepcnn eval`: its numbers agree with each other and with those of training."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

import sepcnn
from sepcnn.cli.eval import name_length
from sepcnn.training import checkpoint
from tests.cli.conftest import Invoke
from tests.pictures import picture, write_folder
from tests.runs import LAYERS, epochs, write_colours, write_config


def measured(invoke: Invoke, *arguments: str | Path) -> dict[str, object]:
    code, out, err = invoke("eval", *arguments, "--json")
    assert code == 0, err
    result: dict[str, object] = json.loads(out)
    return result


def test_json_has_the_documented_keys(trained: Path, invoke: Invoke) -> None:
    result = measured(invoke, trained / "run")
    assert set(result) == {
        "split",
        "images",
        "total_images",
        "loss",
        "accuracy",
        "top5",
        "macro_precision",
        "macro_recall",
        "macro_f1",
        "per_class",
        "confusion",
        "ece",
        "images_per_second",
    }
    confusion, per_class = result["confusion"], result["per_class"]
    assert [row["support"] for row in per_class] == [10, 10, 10]
    assert [sum(row) for row in confusion] == [10, 10, 10]
    assert result["accuracy"] == sum(confusion[i][i] for i in range(3)) / 30
    assert result["top5"] == 1.0
    for name in ("precision", "recall", "f1"):
        mean = sum(row[name] for row in per_class) / 3
        assert result[f"macro_{name}"] == pytest.approx(mean, rel=1e-15)
    assert set(per_class[0]) == {"name", "precision", "recall", "f1", "support"}


def test_validation_equals_what_training_recorded(trained: Path, invoke: Invoke) -> None:
    result = measured(invoke, trained / "run" / "last.safetensors", "--split", "val")
    recorded = epochs(trained / "run")[-1]["val"]
    assert result["loss"] == recorded["loss"]
    assert result["accuracy"] == recorded["accuracy"]
    assert result["macro_recall"] == recorded["macro_recall"]
    assert result["macro_f1"] == recorded["macro_f1"]


def test_a_run_folder_means_its_best_checkpoint(trained: Path, invoke: Invoke) -> None:
    folder = measured(invoke, trained / "run", "--split", "val")
    file = measured(invoke, trained / "run" / "best.safetensors", "--split", "val")
    assert {**folder, "images_per_second": 0} == {**file, "images_per_second": 0}


def test_other_data(trained: Path, invoke: Invoke, tmp_path: Path) -> None:
    other = write_colours(tmp_path / "other.npz", count=60, seed=5)
    result = measured(invoke, trained / "run", "--set", f"data.source.path={other}")
    assert [row["support"] for row in result["per_class"]] == [10, 10, 10]


def write_classes(path: Path, trained: Path, names: list[str]) -> Path:
    """Write the test images of red and blue, with labels that index ``names``."""
    arrays = dict(np.load(trained / "colours.npz"))
    before, chosen = arrays["class_names"][arrays["y_test"]], arrays["y_test"] != 1
    labels = np.array([names.index(name) for name in before[chosen]])
    images = arrays["x_test"][chosen]
    np.savez(path, class_names=np.array(names), x_train=images, y_train=labels)
    return path


def test_some_of_the_classes_in_another_order(
    trained: Path, invoke: Invoke, tmp_path: Path
) -> None:
    other = write_classes(tmp_path / "other.npz", trained, ["blue", "red"])
    where = ["--set", f"data.source=Arrays: {other}", "--split", "all"]
    code, out, err = invoke("eval", trained / "run", *where, "--json")
    assert (code, err) == (
        0,
        "note: the data has no images of these classes of the model: green\n"
        "note: the train and val images differ from those of the run (160 then, 20 now)\n",
    )
    found = json.loads(out)
    whole = measured(invoke, trained / "run")
    assert found["confusion"] == [whole["confusion"][0], [0, 0, 0], whole["confusion"][2]]
    assert [row["name"] for row in found["per_class"]] == ["red", "green", "blue"]
    assert found["accuracy"] == (found["confusion"][0][0] + found["confusion"][2][2]) / 20
    recalls = [found["per_class"][i]["recall"] for i in (0, 2)]
    assert found["macro_recall"] == pytest.approx(sum(recalls) / 2, rel=1e-15)


def test_classes_that_the_model_does_not_have(
    trained: Path, invoke: Invoke, tmp_path: Path
) -> None:
    other = write_classes(tmp_path / "other.npz", trained, ["blue", "hat", "red", "shoe"])
    code, out, err = invoke("eval", trained / "run", "--set", f"data.source=Arrays: {other}")
    assert (code, out, err) == (
        2,
        "",
        "error: the model does not have the classes hat, shoe\n"
        "   its classes are red, green, blue: leave out other images\n",
    )


def scope(result: dict[str, object]) -> tuple[object, ...]:
    return result["split"], result["images"], result["total_images"]


def test_the_first_line_names_what_was_evaluated(trained: Path, invoke: Invoke) -> None:
    for split, count in (("test", 30), ("val", 33), ("train", 127), ("all", 190)):
        result = measured(invoke, trained / "run", "--split", split)
        assert scope(result) == (split, count, 190)
        assert sum(row["support"] for row in result["per_class"]) == count
    code, out, err = invoke("eval", trained / "run", "--split", "all")
    assert out.startswith(f"{trained}/run/best.safetensors on all: 190 of 190 images\n")
    assert (code, err) == (0, "")


def test_all_is_the_sum_of_the_splits(trained: Path, invoke: Invoke) -> None:
    splits = ("train", "val", "test", "all")
    *parts, whole = (measured(invoke, trained / "run", "--split", split) for split in splits)
    confusions = np.array([part["confusion"] for part in parts])
    assert confusions.sum(axis=0).tolist() == whole["confusion"]
    loss = sum(part["loss"] * part["images"] for part in parts) / 190
    assert whole["loss"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "counts", "note"),
    [
        (
            [],
            (30, 90),
            "the test images differ from those of the run (30 then, 30 now); "
            "--split all evaluates all 90 images",
        ),
        (
            ["--split", "val"],
            (12, 90),
            "the val images differ from those of the run (33 then, 12 now)",
        ),
        (
            ["--split", "all"],
            (90, 90),
            "the train, val and test images differ from those of the run (190 then, 90 now)",
        ),
    ],
    ids=["default", "val", "all"],
)
def test_a_note_reports_changed_images(
    trained: Path,
    invoke: Invoke,
    tmp_path: Path,
    arguments: list[str],
    counts: tuple[int, int],
    note: str,
) -> None:
    other = write_colours(tmp_path / "other.npz", count=60, seed=5)
    where = ["--set", f"data.source.path={other}"]
    code, out, err = invoke("eval", trained / "run", *where, *arguments, "--json")
    assert (code, err) == (0, f"note: {note}\n")
    assert scope(json.loads(out))[1:] == counts


def test_only_the_evaluated_images_are_compared(
    trained: Path, invoke: Invoke, tmp_path: Path
) -> None:
    path = tmp_path / "moved.npz"
    arrays = dict(np.load(trained / "colours.npz"))
    np.savez(path, **{**arrays, "x_test": arrays["x_test"] // 2})
    where = ["--set", f"data.source.path={path}"]
    assert invoke("eval", trained / "run", *where, "--split", "val")[2] == ""
    test = "note: the test images differ from those of the run (30 then, 30 now)\n"
    for split in (["--split", "test"], []):  # --split all would measure what was trained on
        assert invoke("eval", trained / "run", *where, *split)[2] == test
    # A larger share held out: some of these the net was trained on.
    code, _, err = invoke("eval", trained / "run", "--split=val", "--set", "data.validation=0.5")
    assert (code, err) == (
        0,
        "note: the val images differ from those of the run (33 then, 79 now)\n",
    )


def test_a_split_that_the_run_did_not_have(invoke: Invoke, tmp_path: Path) -> None:
    config, run = write_config(tmp_path, epochs=1), tmp_path / "run"
    file = tmp_path / "colours.npz"
    pair = f"data.source={{Arrays: {{train: {file}}}}}"
    assert invoke("train", config, "--run-dir", run, "--set", pair)[0] == 0
    assert invoke("eval", run, "--split", "val")[2] == ""
    code, out, err = invoke("eval", run, "--set", f"data.source.Arrays.test={file}", "--json")
    assert (code, err) == (0, "note: the run had no test images\n")
    assert scope(json.loads(out)) == ("test", 30, None)


def test_files_of_other_splits_are_not_needed(invoke: Invoke, tmp_path: Path) -> None:
    config, run = write_config(tmp_path, epochs=1), tmp_path / "run"
    train, test = tmp_path / "colours.npz", write_colours(tmp_path / "test.npz", 30)
    files = ["--set", f"data.source={{Arrays: {{train: {train}, test: {test}}}}}"]
    assert invoke("train", config, "--run-dir", run, *files)[0] == 0
    everything = {name: measured(invoke, run, "--split", name) for name in ("test", "val")}
    test.write_bytes(b"damaged")
    assert measured(invoke, run, "--split", "val")["confusion"] == everything["val"]["confusion"]
    code, _, err = invoke("eval", run)
    assert code == 2
    assert f"{test}: not a NumPy file" in err
    write_colours(test, 30)
    train.unlink()
    assert measured(invoke, run)["confusion"] == everything["test"]["confusion"]
    assert invoke("eval", run)[1].startswith(f"{run}/best.safetensors on test: 30 images\n")


def test_a_checkpoint_of_an_older_sepcnn_is_compared_as_a_whole(trained: Path) -> None:
    stored = checkpoint.read(trained / "run" / "last.safetensors")
    facts = {key: value for key, value in stored.facts.items() if key != "fingerprints"}
    dataset = stored.config.open_data()
    assert dataset.changed_splits(["val"], facts) == []
    assert dataset.changed_splits(["val", "test"], {**facts, "fingerprint": "f"}) == ["val", "test"]


def test_emoji_in_a_path(trained: Path, invoke: Invoke, tmp_path: Path) -> None:
    other = write_colours(tmp_path / "c😀.npz", count=60, seed=5)
    assert measured(invoke, trained / "run", "--set", f"data.source.path={other}")


def test_a_name_that_is_too_long(invoke: Invoke) -> None:
    code, _, err = invoke("eval", "x" * 300)
    assert (code, err) == (2, f"error: {'x' * 300}: file name too long\n   check the path\n")


def test_a_config_is_not_a_run(trained: Path, invoke: Invoke) -> None:
    path = trained / "colours.yaml"
    assert invoke("eval", path) == (
        2,
        "",
        f"error: {path} is a config, not a trained model\n"
        "   give the run folder that sepcnn train printed, as in runs/starter/1\n",
    )


def test_tables_for_people(trained: Path, invoke: Invoke) -> None:
    code, out, _ = invoke("eval", trained / "run")
    assert code == 0
    assert out.startswith(f"{trained}/run/best.safetensors on test: 30 of 190 images\n")
    assert "true ╲ predicted" in out
    assert re.search(r"mean of the classes( +\d+\.\d %){3} +30 *\n", out)
    assert "top" not in out.splitlines()[2]  # of three classes the five likeliest are all


def test_column_names_are_shortened_only_as_needed() -> None:
    names = ["long sleeve shirt", "short sleeve shirt", "hat"]
    # 18 columns of names, then at most 18 + 17 + 3 letters with 3 columns between each.
    found = {columns: name_length(names, columns) for columns in (200, 65, 64, 63, 62, 61)}
    assert found == {200: 18, 65: 18, 64: 17, 63: 16, 62: 16, 61: 15}
    assert [name_length(names, columns) for columns in (47, 46, 45)] == [8, 8, 0]
    assert name_length(["a", "b"], 80) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "train.epochs=3"],
            "error: --set train.epochs=3: evaluation cannot change train.epochs\n"
            "   only data.… and train.device can change after training\n",
        ),
        (
            ["--set", "train.device=cuda:7"],
            "--set train.device=cuda:7: train.device: there is no device cuda:7: "
            "0 CUDA GPUs found\n   use device: auto or cpu\n",
        ),
        (
            ["--set", "data.source=Shapes"],
            "--set data.source=Shapes: data.source.Shapes: Shapes are square colour images of "
            "at least 32×32, found 12×12×3\n   use for example input_shape: [64, 64, 3]\n",
        ),
    ],
)
def test_invalid_arguments(
    trained: Path, invoke: Invoke, arguments: list[str], message: str
) -> None:
    code, out, err = invoke("eval", trained / "run", *arguments)
    assert (code, out, err) == (2, "", message)


def read_errors(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_errors_of_arrays_have_their_index(tmp_path: Path, invoke: Invoke) -> None:
    config = write_config(tmp_path, epochs=1)
    assert invoke("train", config, "--run-dir", tmp_path / "run")[0] == 0
    table = tmp_path / "errors.csv"
    code, out, _ = invoke("eval", tmp_path / "run", "--split", "all", "--errors", table)
    assert code == 0
    rows = read_errors(table)
    assert out.endswith(f"wrote {table}: {len(rows)} images classified wrongly\n")
    assert len(rows) > 20
    assert list(rows[0]) == ["index", "true", "predicted", "probability", "split"]
    arrays = np.load(tmp_path / "colours.npz")
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    predictor = sepcnn.load(tmp_path / "run")
    assert {row["split"] for row in rows} >= {"train", "val"}
    for row in rows:  # validation images are held out from x_train
        images = "test" if row["split"] == "test" else "train"
        index = int(row["index"])
        assert row["true"] == arrays["class_names"][arrays[f"y_{images}"][index]]
        found = predictor.predict(arrays[f"x_{images}"][index])
        assert row["predicted"] == predictor.class_names[found.argmax()] != row["true"]
        assert float(row["probability"]) == pytest.approx(found.max(), rel=1e-4)


def test_errors_of_files_have_their_path(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_folder(tmp_path / "photos")
    wrong = tmp_path / "photos" / "red" / "=wrong,1.jpg"
    picture("blue", 3).save(wrong)
    config = tmp_path / "photos.yaml"
    config.write_text(
        f"model:\n  input_shape: [12, 12, 3]\n  layers:\n{LAYERS}"
        "data: {source: {Folder: photos}, validation: 0.2}\n"
        "train: {epochs: 8, batch_size: 8, device: cpu, optimizer: {Adam: 0.02}}\n"
    )
    assert invoke("train", config, "--run-dir", tmp_path / "run")[0] == 0
    table = tmp_path / "errors.csv"
    for _ in range(2):
        code, out, _ = invoke(
            "eval", tmp_path / "run", "--split", "all", "--errors", table, "--json"
        )
        assert code == 0
        assert "mistakes" not in json.loads(out)
        row = next(row for row in read_errors(table) if row["path"] == str(wrong))
        assert (row["true"], row["predicted"]) == ("red", "blue")


def test_an_errors_file_that_cannot_be_written_is_found_first(
    trained: Path, invoke: Invoke
) -> None:
    best = trained / "run" / "best.safetensors"
    before = best.read_bytes()
    code, out, err = invoke("eval", trained / "run", "--errors", best)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: --errors: {best} exists, and only files named .csv")
    assert best.read_bytes() == before
