"""A Ray cluster of two nodes on this machine, one of which is killed on the way."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from unit.synthetic.stand_ins import make_config, plan, renders

from david_hf.synthetic.production.config import GenerateError
from david_hf.synthetic.production.folder import complete_indices
from david_hf.synthetic.production.generate import Report, generate
from david_hf.synthetic.production.worker import Outcome

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
COUNT = 16


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    # Workers import the stand-ins as this process does.
    tests = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield made
    ray.shutdown()
    made.shutdown()


def test_no_sample_is_lost_or_made_wrongly_when_a_node_is_killed(
    cluster: Any, tmp_path: Path
) -> None:
    second = cluster.add_node(num_cpus=1)
    config = replace(make_config(tmp_path, COUNT), workers=None, ray_address=cluster.address)
    plan(tmp_path, delay=0.3)
    outcomes: list[int] = []

    def kill_node(report: Report, outcome: Outcome | None) -> None:
        if outcome is not None:
            outcomes.append(outcome.index)
        if len(outcomes) == 4:
            cluster.remove_node(second, allow_graceful=False)

    report = generate(config, kill_node)

    assert report.failed == {}
    assert sorted(outcomes) == list(range(COUNT))
    assert complete_indices(config.output, foreground=True) == list(range(COUNT))
    assert not list(config.output.glob(".partial-*"))
    rendered = renders(tmp_path)
    assert set(rendered) == {10 * index for index in range(COUNT)}
    # Only what the dead node was at may have been rendered again.
    assert len(rendered) <= COUNT + 2
    alone = replace(config, output=tmp_path / "alone", ray_address=None, workers=1)
    generate(alone)
    for path in sorted(config.output.glob("*_00000??.*")):
        assert path.read_bytes() == (alone.output / path.name).read_bytes(), path.name


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = replace(make_config(tmp_path, 1), ray_address="127.0.0.1:1")

    with pytest.raises(GenerateError, match=r"Ray at 127\.0\.0\.1:1: "):
        generate(config)
