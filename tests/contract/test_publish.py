"""`david publish` against a stand-in Hub over HTTP, and what others then load from there."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from hub_server import READ_TOKEN, WRITE_TOKEN, HubServer, running_hub
from huggingface_hub import ModelCard, constants
from photos import make_picture, save_checkpoint
from safetensors.torch import load_file, save_file
from transformers import pipeline
from typer.testing import CliRunner

from david_cli.main import app
from david_hf.hub.publish import publish
from david_hf.model import DavidForDensePrediction, DavidForDepthEstimation

REPO_ID = "owner/david-tiny"
SENT = ["README.md", "config.json", "preprocessor_config.json", "model.safetensors"]

# What a user runs elsewhere: argv is the repository and the file for the depth.
BY_ID = """
import sys
{prelude}
import numpy as np
from PIL import Image
from transformers import pipeline

pipe = pipeline("depth-estimation", model=sys.argv[1], device="cpu", trust_remote_code={trust})
depth = pipe(Image.open("picture.png"))["predicted_depth"]
np.save(sys.argv[2], depth.numpy())
"""
WITH_PACKAGE = BY_ID.format(prelude="import david_hf", trust=None)
WITHOUT_PACKAGE = BY_ID.format(prelude='sys.modules["david_hf"] = None', trust=True)


@pytest.fixture(scope="module", autouse=True)
def _hub_client_closes() -> Iterator[None]:
    """The client of huggingface_hub keeps connections for the process."""
    yield
    huggingface_hub.close_session()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """An empty Hub that this process talks to, logged in to write."""
    with running_hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", WRITE_TOKEN)
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny checkpoint with all three heads."""
    return save_checkpoint(DavidForDensePrediction, tmp_path / "checkpoint")


def david_publish(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, run in this process."""
    result = CliRunner().invoke(app, ["publish", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def run_elsewhere(
    command: list[str | Path], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as on another machine: with its own home, cache and settings of the Hub."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    home = {"HF_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command,
        cwd=folder,
        env={**inherited, **home, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result


def depth_by_id(script: str, repo_id: str, folder: Path, **environment: str) -> np.ndarray:
    """Depth of the picture in `folder`, by a process that loads the model by its id."""
    output = folder / "depth.npy"
    output.unlink(missing_ok=True)
    run_elsewhere([sys.executable, "-c", script, repo_id, output], folder, **environment)
    return np.load(output)


def local_depth(checkpoint: Path) -> np.ndarray:
    """Depth of the same picture by the folder that was published."""
    pipe = pipeline("depth-estimation", model=str(checkpoint), device="cpu")
    return pipe(make_picture(40, 48))["predicted_depth"].numpy()


@dataclass
class Journey:
    """What came of publishing a checkpoint and of loading it elsewhere, online and then offline."""

    server: HubServer
    output: str
    local: np.ndarray
    online: np.ndarray
    offline: np.ndarray


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """The whole way, each step in a process of its own."""
    checkpoint = save_checkpoint(DavidForDensePrediction, tmp_path_factory.mktemp("checkpoint"))
    author, reader = tmp_path_factory.mktemp("author"), tmp_path_factory.mktemp("reader")
    make_picture(40, 48).save(reader / "picture.png")
    david = Path(sysconfig.get_path("scripts")) / "david"
    with running_hub() as server:
        access = {"HF_ENDPOINT": server.url, "HF_TOKEN": WRITE_TOKEN}
        said = run_elsewhere([david, "publish", checkpoint, REPO_ID], author, **access)
        online = depth_by_id(WITH_PACKAGE, REPO_ID, reader, **access)
    offline = depth_by_id(WITH_PACKAGE, REPO_ID, reader, HF_ENDPOINT=server.url, HF_HUB_OFFLINE="1")
    return Journey(server, said.stdout + said.stderr, local_depth(checkpoint), online, offline)


def test_the_pipeline_loads_a_published_checkpoint_by_its_id(journey: Journey) -> None:
    np.testing.assert_allclose(journey.online, journey.local, rtol=1e-5)


def test_what_was_loaded_once_loads_again_offline(journey: Journey) -> None:
    np.testing.assert_array_equal(journey.offline, journey.online)


def test_the_command_lists_files_and_names_the_address(journey: Journey) -> None:
    lines = journey.output.splitlines()

    assert [line.split()[:2] for line in lines if line.startswith("new ")] == [
        ["new", name] for name in SENT
    ]
    assert f"sent 4 files: {journey.server.url}/{REPO_ID} (private)" in lines
    assert WRITE_TOKEN not in journey.output


def test_published_code_runs_where_the_package_is_not(
    hub: HubServer, checkpoint: Path, tmp_path: Path
) -> None:
    publish(checkpoint, REPO_ID, remote_code=True)
    make_picture(40, 48).save(tmp_path / "picture.png")

    depth = depth_by_id(
        WITHOUT_PACKAGE, REPO_ID, tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN=READ_TOKEN
    )

    np.testing.assert_allclose(depth, local_depth(checkpoint), rtol=1e-4)
    assert "auto_map" not in (checkpoint / "config.json").read_text()


def test_everything_goes_in_one_commit_with_the_card_first(
    hub: HubServer, checkpoint: Path
) -> None:
    assert david_publish(checkpoint, REPO_ID, "--message", "First try")[0] == 0

    _, made = hub.repos[REPO_ID].commits
    assert made.summary == "First try"
    assert made.operations == [("file", name) for name in SENT]
    card = ModelCard(hub.repos[REPO_ID].files["README.md"].decode())
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "depth-estimation")


def test_publishing_again_sends_nothing(hub: HubServer, checkpoint: Path) -> None:
    publish(checkpoint, REPO_ID)
    writes = len(hub.writes)

    code, stdout, _ = david_publish(checkpoint, REPO_ID)
    report = publish(checkpoint, REPO_ID)

    assert code == 0
    assert stdout.splitlines()[-1] == f"up to date: {hub.url}/{REPO_ID} (private)"
    assert report.commit is None
    assert hub.writes[writes:] == []


def test_a_changed_card_is_sent_alone(hub: HubServer, checkpoint: Path) -> None:
    (checkpoint / "README.md").write_text("---\nlicense: mit\n---\n\n# Mine\n")
    publish(checkpoint, REPO_ID)
    (checkpoint / "README.md").write_text("---\nlicense: mit\n---\n\n# Ours\n")

    publish(checkpoint, REPO_ID)

    assert hub.repos[REPO_ID].commits[-1].operations == [("file", "README.md")]
    card = ModelCard(hub.repos[REPO_ID].files["README.md"].decode())
    assert card.data.license == "mit"
    assert "# Ours" in card.text


def test_changed_weights_of_the_same_size_are_noticed(hub: HubServer, checkpoint: Path) -> None:
    publish(checkpoint, REPO_ID)
    weights = checkpoint / "model.safetensors"
    size = weights.stat().st_size
    changed = {key: value + 1 for key, value in load_file(weights).items()}
    save_file(changed, weights, metadata={"format": "pt"})

    report = publish(checkpoint, REPO_ID)

    assert weights.stat().st_size == size
    assert [(file.path, file.state) for file in report.changes] == [
        ("model.safetensors", "changed")
    ]


def test_a_dry_run_writes_nothing(hub: HubServer, checkpoint: Path) -> None:
    code, stdout, _ = david_publish(checkpoint, REPO_ID, "--dry-run")

    assert code == 0
    assert [line.split()[:2] for line in stdout.splitlines()[:-1]] == [
        ["new", name] for name in SENT
    ]
    assert hub.requests
    assert hub.writes == []
    assert hub.repos == {}


def test_a_dry_run_needs_no_token_and_says_what_it_cannot_see(
    hub: HubServer, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(checkpoint, REPO_ID)
    monkeypatch.delenv("HF_TOKEN")

    code, stdout, stderr = david_publish(checkpoint, REPO_ID, "--dry-run")

    assert code == 0
    assert stdout.count("new ") == len(SENT)
    assert stderr.startswith(f"david: {REPO_ID} does not exist, or it is private and you are not")


def test_a_dry_run_without_a_hub_lists_all_files_as_new(hub: HubServer, checkpoint: Path) -> None:
    hub.stop()

    code, stdout, stderr = david_publish(checkpoint, REPO_ID, "--dry-run")

    assert code == 0
    assert stdout.count("new ") == len(SENT)
    assert f"request to {hub.url} failed" in stderr


def test_what_would_be_sent_can_be_written_to_a_folder(
    hub: HubServer, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    folder = tmp_path / "out"
    arguments = (checkpoint, "owner/name", "--remote-code", "--output", folder)

    assert david_publish(*arguments) == (0, f"wrote {folder}\n", "")

    assert hub.requests == []
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "model.safetensors", "modeling_david.py"} < names
    assert "auto_map" in json.loads((folder / "config.json").read_text())
    code, _, said = david_publish(*arguments)
    assert (code, said) == (
        1,
        f"david: {folder}: exists already; name a folder that is to be made\n",
    )


@pytest.mark.parametrize(("options", "private"), [([], True), (["--public"], False)])
def test_a_repository_is_private_unless_asked_otherwise(
    options: list[str], private: bool, hub: HubServer, checkpoint: Path
) -> None:
    assert david_publish(checkpoint, REPO_ID, *options)[0] == 0

    assert hub.repos[REPO_ID].private is private


def test_a_repository_that_exists_keeps_its_visibility_and_the_user_is_told(
    hub: HubServer, checkpoint: Path
) -> None:
    publish(checkpoint, REPO_ID, public=True)

    code, stdout, stderr = david_publish(checkpoint, REPO_ID)

    assert code == 0
    assert hub.repos[REPO_ID].private is False
    assert stdout.endswith("(public)\n")
    assert "exists and stays PUBLIC" in stderr


def test_only_files_of_the_checkpoint_are_sent(hub: HubServer, checkpoint: Path) -> None:
    for name in (
        "optimizer.pt",
        "pytorch_model.bin",
        "scaler.pkl",
        ".env",
        "model.ema.safetensors",
    ):
        (checkpoint / name).write_text("private")
    (checkpoint / "logs").mkdir()
    (checkpoint / "logs" / "config.json").write_text("{}")
    for name in ("README.md", "training_config.yaml", "training_data.json", "notes.txt"):
        (checkpoint / name).symlink_to("/etc/passwd")

    publish(checkpoint, REPO_ID)

    assert sorted(hub.repos[REPO_ID].files) == sorted([".gitattributes", *SENT])
    assert b"root:" not in hub.repos[REPO_ID].files["README.md"]


def test_one_file_of_weights_replaces_shards_and_back(hub: HubServer, checkpoint: Path) -> None:
    model = DavidForDensePrediction.from_pretrained(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    model.save_pretrained(checkpoint, max_shard_size="40KB")
    shards = sorted(path.name for path in checkpoint.glob("model-*.safetensors"))
    assert len(shards) > 1
    weights = ["model.safetensors.index.json", *shards]

    publish(checkpoint, REPO_ID)
    assert weights_on(hub) == sorted(weights)

    model.save_pretrained(checkpoint)
    _, stdout, _ = david_publish(checkpoint, REPO_ID)
    assert weights_on(hub) == ["model.safetensors"]
    removed = [line.split()[1] for line in stdout.splitlines() if line.startswith("removed ")]
    assert removed == sorted(weights)
    assert f"sent 1 file, removed {len(weights)} files: " in stdout

    (checkpoint / "model.safetensors").unlink()
    model.save_pretrained(checkpoint, max_shard_size="40KB")
    publish(checkpoint, REPO_ID)
    assert weights_on(hub) == sorted(weights)


def weights_on(hub: HubServer) -> list[str]:
    return sorted(path for path in hub.repos[REPO_ID].files if path.startswith("model"))


def save_onnx(path: Path) -> None:
    """A graph whose only tensor is in a file beside it."""
    onnx = pytest.importorskip("onnx")
    tensor = onnx.numpy_helper.from_array(np.ones((64, 64), np.float32), "weight")
    output = onnx.helper.make_tensor_value_info("weight", onnx.TensorProto.FLOAT, [64, 64])
    model = onnx.helper.make_model(onnx.helper.make_graph([], "graph", [], [output], [tensor]))
    onnx.save(
        model, path, save_as_external_data=True, location=f"{path.stem}.weights", size_threshold=0
    )


def test_an_onnx_export_goes_along_with_the_files_it_needs(
    hub: HubServer, checkpoint: Path, tmp_path: Path
) -> None:
    save_onnx(tmp_path / "export.onnx")
    (tmp_path / "other.txt").write_text("not part of it")

    assert david_publish(checkpoint, REPO_ID, "--onnx", tmp_path / "export.onnx")[0] == 0

    files = hub.repos[REPO_ID].files
    assert {path for path in files if "/" in path} == {"onnx/export.onnx", "onnx/export.weights"}
    assert files["onnx/export.weights"] == (tmp_path / "export.weights").read_bytes()


@pytest.mark.parametrize("link", [True, False])
def test_an_onnx_export_that_is_not_whole_is_refused(
    link: bool, hub: HubServer, checkpoint: Path, tmp_path: Path
) -> None:
    save_onnx(tmp_path / "export.onnx")
    (tmp_path / "export.weights").unlink()
    if link:
        (tmp_path / "export.weights").symlink_to("/etc/passwd")

    assert_refused(david_publish(checkpoint, REPO_ID, "--onnx", tmp_path), "export.weights must be")
    assert hub.requests == []


def test_an_onnx_export_of_earlier_weights_is_mentioned(
    hub: HubServer, checkpoint: Path, tmp_path: Path
) -> None:
    save_onnx(tmp_path / "export.onnx")
    publish(checkpoint, REPO_ID, onnx=tmp_path)
    save_file(load_file(checkpoint / "model.safetensors"), checkpoint / "model.safetensors")

    report = publish(checkpoint, REPO_ID)

    assert len(report.notes) == 1
    assert "onnx/export.onnx, onnx/export.weights may not fit the new weights" in report.notes[0]


def test_the_token_of_a_login_is_found(
    hub: HubServer, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    Path(constants.HF_TOKEN_PATH).write_text(WRITE_TOKEN)

    assert david_publish(checkpoint, REPO_ID)[0] == 0

    assert REPO_ID in hub.repos


def assert_refused(result: tuple[int, str, str], message: str) -> None:
    """One line on standard error, exit code 1, and no token in it."""
    code, stdout, stderr = result
    assert (code, len(stderr.splitlines())) == (1, 1), stderr
    assert stderr.startswith("david: ")
    assert message in stderr
    for token in (WRITE_TOKEN, READ_TOKEN, "hf_unknown"):
        assert token not in stdout + stderr


@pytest.mark.parametrize(
    ("token", "repo_id", "message"),
    [
        ("hf_unknown", REPO_ID, "the Hub does not know this token"),
        ("hf_unknown\xe9", REPO_ID, "the Hub does not know this token"),
        (READ_TOKEN, REPO_ID, f"the token may not write to {REPO_ID} (You don't have the rights"),
        (WRITE_TOKEN, "stranger/model", "the token may not write to stranger/model"),
    ],
)
def test_a_token_that_does_not_do_is_one_line(
    token: str,
    repo_id: str,
    message: str,
    hub: HubServer,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)

    assert_refused(david_publish(checkpoint, repo_id), message)
    assert hub.repos == {}


def test_without_a_token_nothing_is_asked_of_the_hub(
    hub: HubServer, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")

    assert_refused(
        david_publish(checkpoint, REPO_ID),
        "no token for the Hub: run `hf auth login`, or set HF_TOKEN",
    )
    assert hub.requests == []


def test_a_failing_hub_is_one_line_that_hides_the_token(hub: HubServer, checkpoint: Path) -> None:
    hub.outage = 503

    assert_refused(
        david_publish(checkpoint, REPO_ID),
        "the Hub failed with status 503 (proxy failed on behalf of Bearer ***): try again later",
    )


def test_a_hub_that_cannot_be_reached_is_one_line(hub: HubServer, checkpoint: Path) -> None:
    hub.stop()

    assert_refused(david_publish(checkpoint, REPO_ID), f"request to {hub.url} failed: ")


def test_offline_mode_is_one_line(
    hub: HubServer, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert_refused(david_publish(checkpoint, REPO_ID), "unset HF_HUB_OFFLINE")
    assert hub.requests == []


def test_a_publication_that_fails_leaves_the_repository_as_it_was(
    hub: HubServer, checkpoint: Path
) -> None:
    publish(checkpoint, REPO_ID)
    before = dict(hub.repos[REPO_ID].files)
    (checkpoint / "README.md").write_text("# Newer\n")
    hub.outage, hub.outage_path = 500, "/commit/"

    assert_refused(david_publish(checkpoint, REPO_ID), "the Hub failed with status 500")
    assert hub.repos[REPO_ID].files == before


@pytest.mark.parametrize(
    ("repo_id", "message"),
    [
        ("name", "expected a repository as OWNER/NAME, got 'name'"),
        ("a/b/c", "Repo id must be in the form"),
        ("owner/na me", "Repo id must use alphanumeric chars"),
        ("./checkpoint", "Repo id must use alphanumeric chars"),
    ],
)
def test_a_wrong_repository_name_is_one_line(
    repo_id: str, message: str, hub: HubServer, checkpoint: Path
) -> None:
    assert_refused(david_publish(checkpoint, repo_id), message)
    assert hub.requests == []


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def lose_a_shard(folder: Path) -> None:
    model = DavidForDensePrediction.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    max(folder.glob("model-*.safetensors")).unlink()


def point_outside(folder: Path) -> None:
    """An index that names a file elsewhere as a shard."""
    (folder / "model.safetensors").rename(folder.parent / "secret.safetensors")
    (folder / "model-00001-of-00001.safetensors").write_bytes(b"")
    index = {"weight_map": {"weight": "../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def truncate_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def save_one_head_only(folder: Path) -> None:
    save_checkpoint(DavidForDepthEstimation, folder)
    edit_config(folder, architectures=["DavidForDensePrediction"])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "expected JSON"),
    "another model": (lambda folder: edit_config(folder, model_type="vit"), "only DAViD"),
    "a bad number": (lambda folder: edit_config(folder, hidden_size="wide"), "hidden_size"),
    "no class": (lambda folder: edit_config(folder, architectures=None), "architectures"),
    "other shapes": (
        lambda folder: edit_config(folder, fusion_hidden_size=16),
        "should have shape",
    ),
    "a head is missing": (save_one_head_only, "the weights lack"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "it has no model"),
    "cut weights": (truncate_weights, "expected safetensors weights"),
    "a lost shard": (lose_a_shard, "shards are missing"),
    "a foreign shard": (point_outside, "shards are missing"),
    "no processor": (
        lambda folder: (folder / "preprocessor_config.json").unlink(),
        "DavidImageProcessor(size=...).save_pretrained(FOLDER) makes it",
    ),
    "another processor": (
        lambda folder: (folder / "preprocessor_config.json").write_text("{}"),
        "expected image_processor_type DavidImageProcessor",
    ),
    "code is left behind": (
        lambda folder: edit_config(folder, auto_map={"AutoModel": "modeling_david.DavidModel"}),
        "add --remote-code",
    ),
    "a broken card": (
        lambda folder: (folder / "README.md").write_text("---\n[\n---\n"),
        "README.md",
    ),
    "linked weights": (
        lambda folder: (
            (folder / "model.safetensors").rename(folder.parent / "weights")
            and (folder / "model.safetensors").symlink_to(folder.parent / "weights")
        ),
        "it has no model",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_checkpoint_that_is_not_whole_is_refused_before_any_request(
    fault: str, hub: HubServer, checkpoint: Path
) -> None:
    damage, message = BROKEN[fault]
    damage(checkpoint)

    result = david_publish(checkpoint, REPO_ID)

    assert_refused(result, message)
    assert "david-publish-" not in result[2]  # the temporary folder is nobody's business
    assert hub.requests == []


def test_a_folder_that_does_not_exist_is_one_line(hub: HubServer, tmp_path: Path) -> None:
    assert_refused(david_publish(tmp_path / "nowhere", REPO_ID), "nowhere: no such folder")
    assert hub.requests == []
