"""`tfbind train` as a user meets it: configuration, runs that were stopped, pictures."""

import io
import json
import re
import signal
import subprocess
import sys
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install 'tfbind[train]'")

from conftest import Tfbind, Trained, environment, ok, said

from tfbind.checkpoints import Checkpoint
from tfbind.cli.checkpoint import claimed
from tfbind.cli.fitting import Run
from tfbind.configuration import keywords, read_configuration
from tfbind.curves import draw_history
from tfbind.errors import InputError
from tfbind.history import Epoch, History, history_csv, read_history
from tfbind.settings import RECIPES, Settings

VALIDATE = ("--validate", "chrX:48000001-50000000", "--threads", "1")
TRAIN = (sys.executable, "-m", "tfbind", "train")
SMALL = """\
inputs = ["sequence"]
[network]
filters = 4
joint = 20
dense = 10
[training]
epochs = 3
learning_rate = 0.01
"""


def contract_of(network: Path) -> dict[str, Any]:
    with zipfile.ZipFile(network) as archive:
        made: dict[str, Any] = json.loads(archive.read("tfbind/contract.json"))
    return made


def weights_of(network: Path) -> bytes:
    with zipfile.ZipFile(network) as archive:
        return archive.read("model.weights.h5")


def read(text: str) -> Any:
    return read_configuration(io.BytesIO(text.encode()), "c.toml")


def network(
    *, filters: int = 1, rate: float = 0.5, sizes: tuple[int, ...] = (), flag: bool = False
) -> None:
    """Stand for an architecture, of which only the keywords count."""


def test_configuration_is_read_as_its_architecture_wants_it() -> None:
    found = read(
        '\ufeffarch = "shallow"\r\n[network]\r\nsizes = [1, 2]\r\nrate = 1\r\nflag = true\r\n'
    )
    assert (found.arch, found.inputs, dict(found.training)) == ("shallow", None, {})
    assert keywords(found, "shallow", network) == {"sizes": (1, 2), "rate": 1, "flag": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch = shallow", "c.toml: is no TOML: "),
        ("archs = 'x'", "has no key 'archs'; did you mean arch? There is arch, inputs, network"),
        ("arch = 3", "found arch = 3, expected a text in quotes"),
        ("inputs = 'sequence'", "expected a list of values, each a text in quotes"),
        ("inputs = []", "inputs names none"),
        ("[training]\nepoch = 3", "has no key 'epoch'; did you mean epochs?"),
        ("[training]\nepochs = 0", "[training]: found epochs 0, expected a finite number, 1 or"),
        ("[training]\nclip = inf", "found clip inf, expected a finite number, 0 or more"),
        ("[training]\nfocus = inf", "found focus inf, expected a finite number, 0 or more"),
        ("[training]\nepochs = 2.5", "found epochs = 2.5, expected a whole number"),
        ("[training]\nbatch = 12", "found batch 12, expected a multiple of 8 bins"),
        ("[training]\nschedule = 'linear'", 'expected "constant" or "cosine"'),
        ("[training]\nlearning_rate = nan", "found learning_rate nan, expected more than 0"),
    ],
)
def test_odd_configuration_is_told_in_a_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filtres = 3", "of shallow has no key 'filtres'; did you mean filters?"),
        ("filters = 3.5", "found filters = 3.5, expected a whole number"),
        ("filters = true", "found filters = true, expected a whole number"),
        ("sizes = [1, 'a']", "expected a list of values, each a whole number"),
    ],
)
def test_odd_keywords_of_a_network_are_told_in_a_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"c\.toml: \[network\]") as error:
        keywords(read(f"[network]\n{text}"), "shallow", network)
    assert message in str(error.value)


def test_flags_win_over_the_file_and_a_run_that_was_killed_goes_on(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    config, whole, parts = (tmp_path / name for name in ("c.toml", "whole.keras", "parts.keras"))
    config.write_text(SMALL)
    args = ("train", trained.tiles, *VALIDATE, "--config", config, "--seed", "3", "--epochs", "4")
    unrelated = [tmp_path / "whole.part.keras", tmp_path / "whole.history.csv.part"]
    for path in unrelated:
        path.write_text("precious")
    ok(tfbind(*args, "-o", whole, "--plot", tmp_path / "curves.png"))
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert {path.read_text() for path in unrelated} == {"precious"}
    contract = contract_of(whole)
    assert [one["name"] for one in contract["inputs"]] == ["sequence"]
    assert contract["parameters"]["filters"] == 4
    assert contract["parameters"]["width"] == 20
    told = contract["training"]
    assert (told["epochs"], told["learning_rate"], told["seed"]) == (4, 0.01, 3)
    assert told["threads"] == 1

    process = subprocess.Popen(
        [*TRAIN, *map(str, args[1:]), "-o", str(parts)],
        env=environment(),
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    while not process.stderr.readline().startswith(b"tfbind: epoch 2:"):
        assert process.poll() is None
    process.kill()
    process.wait(60)
    process.stderr.close()
    assert not parts.exists()
    left = tmp_path / "parts.keras.checkpoint"
    assert "--resume" in said(tfbind(*args, "-o", parts))
    other = said(tfbind(*args, "-o", parts, "--resume", "--seed", "4"))
    assert "was begun with --seed 3, but now --seed is 4" in other
    done = tfbind(*args, "-o", parts, "--resume")
    assert b"going on from there" in done.stderr
    assert ok(done) == b""
    assert not left.exists()
    assert contract_of(parts)["training"] == told
    assert weights_of(parts) == weights_of(whole)
    again = tfbind(*args, "-o", parts, "--resume", "--plot", tmp_path / "again.svg")
    assert b"is complete: nothing to do" in again.stderr
    assert ok(again) == b""
    best = told["epoch"]
    assert f"kept: epoch {best}, AUPRC" in (tmp_path / "again.svg").read_text()
    assert not list(tmp_path.glob(".*"))


def test_signal_leaves_the_best_so_far_and_a_checkpoint(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(SMALL.replace("epochs = 3", "epochs = 500"))
    process = subprocess.Popen(
        [*TRAIN, str(trained.tiles), *VALIDATE, "--config", "c.toml", "-o", "x.keras"],
        env=environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    while not process.stderr.readline().startswith(b"tfbind: epoch 1:"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read().decode()
    assert process.wait(60) == 130
    process.stderr.close()
    assert rest.splitlines()[-1].startswith("tfbind: interrupted; kept epoch ")
    assert rest.endswith("in x.keras; --resume goes on\n")
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "c.toml",
        "x.history.csv",
        "x.keras",
        "x.keras.checkpoint",
    ]
    assert "run" not in contract_of(tmp_path / "x.keras")["training"]


def test_signal_before_the_first_epoch_is_told_and_leaves_nothing(
    trained: Trained, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [*TRAIN, str(trained.tiles), *VALIDATE, "--resume", "-o", "x.keras"],
        env=environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    first = process.stderr.readline().decode()
    assert first == "tfbind: nothing to resume: no x.keras.checkpoint; begins with epoch 1\n"
    while not process.stderr.readline().startswith(b"tfbind: validation:"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read().decode()
    assert process.wait(60) == 130
    process.stderr.close()
    assert rest == "tfbind: interrupted before a network was written; nothing is kept\n"
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_checkpoint_and_odd_requests_are_told(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    output = tmp_path / "x.keras"
    args = ("train", trained.tiles, *VALIDATE, "-o", output)
    (tmp_path / "x.keras.checkpoint").write_bytes(b"precious")
    assert "is no checkpoint of training" in said(tfbind(*args, "--resume"))
    (tmp_path / "x.keras.checkpoint").unlink()
    assert "expected a name in .png" in said(tfbind(*args, "--plot", "x.txt"), 2)
    assert "nodir/p.png: cannot be written: no folder" in said(
        tfbind(*args, "--plot", tmp_path / "nodir" / "p.png")
    )
    gone = said(tfbind(*args[:2], "--validate", "chrX:1001-2000", "-o", output))
    assert "--validate chrX:1001-2000 holds no tile; tiles lie in chrX:450" in gone
    assert "no architecture 'resnet': there is best" in said(tfbind(*args, "--arch", "resnet"), 2)
    assert "found --device gpu, expected" in said(tfbind(*args, "--device", "gpu"), 2)
    assert "found batch 12" in said(tfbind(*args, "--batch", "12"), 2)
    config = tmp_path / "c.toml"
    config.write_text("[network]\nfilters = -3\n")
    odd = said(tfbind(*args, "--config", config))
    assert f"{config}: [network] makes no network of shallow: " in odd
    assert [one.name for one in tmp_path.iterdir()] == ["c.toml"]


def test_curves_name_axes_tasks_and_the_kept_epoch(tmp_path: Path) -> None:
    nan = float("nan")
    epochs = [
        Epoch(1, 2, 1.5, 1.4, 0.2, 1000, (0.2, nan)),
        Epoch(2, 2, 1.2, 1.3, 0.3, 1000, (0.3, nan)),
        Epoch(3, 2, 1.1, 1.5, 0.25, 1000, (0.25, nan)),
    ]
    path = tmp_path / "curves.svg"
    draw_history(History(epochs, 2), path, kind="svg", tasks=["CTCF", "MAX"], title="two.keras")
    text = path.read_text()
    for word in ("two.keras", "Epoch", "Loss (nats a bin, weighted)", "AUPRC", "CTCF", "mean of 2"):
        assert f">{word}<" in text
    assert "kept: epoch 2, AUPRC 0.3000" in text
    assert ">MAX<" not in text  # it has no bound bins in validation


def test_a_history_is_read_as_it_was_written() -> None:
    nan = float("nan")
    epochs = [
        Epoch(1, 2, 1.5, 1.4, 0.2, 1000, (0.2, nan)),
        Epoch(2, 2, 1.2, 1.3, 0.3, 1000, (0.3, 0.25)),
    ]
    text = history_csv(History(epochs, 2), ["CTCF", "MAX"])
    history, tasks = read_history(io.BytesIO(text.encode()), "h.csv", 2)
    assert (tasks, history.best) == (("CTCF", "MAX"), 2)
    assert repr(history.epochs) == repr(
        [replace(one, seconds=2.0, bins_per_second=1000.0) for one in epochs]
    )
    for odd, best in (("", 1), (text, 3), ("a,b\n1,2\n", 1), (text.replace("loss", "lots"), 1)):
        with pytest.raises(InputError, match=r"h\.csv: is no history of training"):
            read_history(io.BytesIO(odd.encode()), "h.csv", best)


def test_a_picture_that_cannot_be_drawn_costs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong as it is drawn is met with the network in its place, and no checkpoint."""
    wanted = SimpleNamespace(settings=Settings(), arch="shallow")
    outputs = claimed(str(tmp_path / "x.keras"), str(tmp_path / "x.png"), resume=False, force=False)
    run = Run(wanted, {}, {}, {}, outputs, quiet=True)

    def learn(self: Run, checkpoint: Checkpoint, *_: object) -> tuple[History, list[str]]:
        assert (tmp_path / ".x.part.png").exists()  # claimed before
        Path(outputs.network).write_bytes(b"network")
        checkpoint.path.touch()
        return History([Epoch(1, 1, 1, 1, 0.5)], 1), []

    def draw(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Run, "_learn", learn)
    monkeypatch.setattr("tfbind.curves.draw_history", draw)
    with pytest.raises(OSError, match="no room"):
        run(None, None)
    assert [one.name for one in tmp_path.iterdir()] == ["x.keras"]


def test_help_tells_the_recipes_as_they_are(tfbind: Tfbind) -> None:
    text = " ".join(ok(tfbind("train", "--help")).decode().split())
    text = re.sub(r"(?<=\w)- ", "-", text)  # folded there
    for arch, recipe in RECIPES.items():
        flags = [f"--{name.replace('_', '-')} {value}" for name, value in recipe.items()]
        assert re.search(rf"--arch {arch} (stands )?for {' '.join(flags)}", text), arch
    (listed,) = re.findall(r"\[training\], with ([\w, ]+)\. Flags win", text)
    assert set(re.split(r", | and ", listed)) == {one.name for one in fields(Settings)}
