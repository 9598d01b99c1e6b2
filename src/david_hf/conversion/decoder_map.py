"""The resizer and the decoder, wherever their pointwise convolutions sit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .onnx_graph import Node
from .survey import Survey, describe
from .weighted_nodes import WeightedNode

__all__ = ["Level", "ResizerLevel", "read_decoder", "read_resizer"]

_NUM_LEVELS = 4


@dataclass
class ResizerLevel:
    """Convolutions of one level of the resizer.

    Attributes:
        chain: Those that the next level sees, too; the first one has stride 2.
        lateral: Those on the way to the decoder alone.
    """

    chain: list[WeightedNode]
    lateral: list[WeightedNode]


@dataclass
class Level:
    """One level of the decoder.

    Attributes:
        skip: Residual unit of the encoder's map; none at the coarsest level.
        fused: Residual unit of the sum.
        projection: Convolutions between it and the place where the resizer joins.
        merge: Convolutions behind that place.
        decoder_tensor: What the decoder brings there.
        resizer_tensor: What the resizer brings there.
        resized_tensor: A tensor of the decoder behind the resize to the resizer's size.
        sum_tensor: What the unit `fused` works on.
        coarser_tensor: What the coarser level gives, or None at the coarsest.
        ends: Nodes whose results the level's output is made of, by index.
    """

    skip: list[WeightedNode]
    fused: list[WeightedNode]
    projection: list[WeightedNode]
    merge: list[WeightedNode]
    decoder_tensor: str
    resizer_tensor: str
    resized_tensor: str
    sum_tensor: str
    coarser_tensor: str | None
    ends: frozenset[int] = frozenset()


def read_resizer(survey: Survey, patch: WeightedNode) -> list[ResizerLevel]:
    """Find the convolutions that see the image but no patch; their widths go into the config."""
    found = sorted(
        (node for node in survey.nodes if patch.index not in node.ancestors),
        key=lambda node: (len(node.ancestors), node.index),
    )
    starts = [node for node in found if node.stride == 2]
    if len(starts) != _NUM_LEVELS or any(node.kind != "conv" for node in found):
        raise survey.error(
            f"expected a resizer of four convolutions with stride 2 and others, "
            f"found {describe(found)}"
        )
    levels: list[ResizerLevel] = []
    for number, start in enumerate(starts):
        coarser = starts[number + 1 :]
        own = [
            node
            for node in found
            if start.index in node.ancestors and not any(c.index in node.ancestors for c in coarser)
        ]
        if coarser:
            chain = [node for node in own if node.index in coarser[0].ancestors]
        else:
            # The last level has no next one to tell by.
            chain = own[: len(levels[0].chain)]
        levels.append(ResizerLevel(chain, [node for node in own if node not in chain]))
    survey.map.config["resizer_hidden_sizes"] = [level.chain[-1].out_channels for level in levels]
    return levels


def read_decoder(
    survey: Survey,
    patch: WeightedNode,
    neck: Sequence[WeightedNode],
    resizer: Sequence[ResizerLevel],
    heads: Sequence[Sequence[WeightedNode]],
) -> list[Level]:
    """Read resizer and decoder.

    Args:
        survey: The graph.
        patch: Its patch embedding.
        neck: The convolutions that bring the encoder's maps to decoder width.
        resizer: What `read_resizer` found.
        heads: The convolutions of each head.

    Returns:
        The decoder's levels, finest first.
    """
    in_heads = {node.index for head in heads for node in head}
    joins = _find_joins(survey, patch)
    levels: list[Level] = []  # coarsest first
    for place, join in enumerate(joins):
        number = _NUM_LEVELS - 1 - place
        finer = {end.index for end in neck[:number]}
        own = sorted(
            (
                node
                for node in survey.nodes
                if node.index not in survey.used | in_heads
                and neck[number].index in node.ancestors
                and not node.ancestors & finer
            ),
            key=lambda node: (len(node.ancestors), node.index),
        )
        coarser = levels[-1] if levels else None
        level = _split_level(survey, join, own, neck[number], coarser)
        if join[0].op == "Add":
            _unmerge(survey, join[0], level, resizer[number])
        level.ends = level.ends or frozenset({level.merge[-1].index})
        levels.append(level)
    levels = levels[::-1]
    _read_options(survey, neck, resizer, levels, heads)
    for number, resizer_level in enumerate(resizer):
        _take_resizer_level(survey, number, resizer_level)
    # The coarsest comes first, as it runs.
    for number, level in reversed(list(enumerate(levels))):
        _take_level(survey, number, level)
    return levels


def _find_joins(survey: Survey, patch: WeightedNode) -> list[tuple[Node, str, str]]:
    """Where decoder and resizer meet: node, the decoder's tensor, the resizer's; coarsest first."""
    found = []
    for node in survey.graph.nodes:
        live = survey.graph.live_inputs(node)
        if node.op not in ("Concat", "Add") or len(live) != 2:
            continue
        sees = [patch.index in survey.ancestry.all(name) for name in live]
        weighted = all(survey.ancestry.all(name) for name in live)
        if sees[0] != sees[1] and weighted:
            decoder, resizer = live if sees[0] else live[::-1]
            found.append((node, decoder, resizer))
    if len(found) != _NUM_LEVELS:
        raise survey.error(
            f"expected four places where decoder and resizer are joined, found "
            f"{', '.join(node.name for node, _, _ in found) or 'none'}"
        )
    return sorted(found, key=lambda join: len(survey.ancestry.all(join[1])))


def _split_level(
    survey: Survey,
    join: tuple[Node, str, str],
    own: list[WeightedNode],
    neck: WeightedNode,
    coarser: Level | None,
) -> Level:
    node, decoder_tensor, resizer_tensor = join
    behind = survey.graph.downstream(node.outputs[0])
    merge = [n for n in own if n.source in behind]
    before = [n for n in own if n not in merge]
    skip = [] if coarser is None else [n for n in before if not n.ancestors & coarser.ends]
    fused = [n for n in before if n not in skip]
    expected = len(fused) >= 2 and (len(skip) == 2 if coarser else not skip)
    if not expected or any(n.kind != "conv" for n in own) or (node.op == "Concat" and not merge):
        raise survey.error(f"a level of the decoder is not DAViD's: {describe(own)}")
    if node.op == "Concat":
        _order_concat(survey, node, decoder_tensor, merge[0])
    sum_tensor, coarser_tensor = neck.result, None
    if coarser is not None:
        sum_tensor, coarser_tensor = _find_sum(survey, skip[-1], coarser)
    return Level(
        skip=skip,
        fused=fused[:2],
        projection=fused[2:],
        merge=merge,
        decoder_tensor=decoder_tensor,
        resizer_tensor=resizer_tensor,
        resized_tensor=decoder_tensor,
        sum_tensor=sum_tensor,
        coarser_tensor=coarser_tensor,
    )


def _order_concat(survey: Survey, node: Node, decoder_tensor: str, merge: WeightedNode) -> None:
    """Put the decoder's channels in front of the resizer's, as the network has them."""
    if node.inputs[0] != decoder_tensor:
        width = merge.in_channels - survey.graph.shapes[decoder_tensor][1]
        merge.weight = np.concatenate([merge.weight[:, width:], merge.weight[:, :width]], 1)


def _find_sum(survey: Survey, skip_end: WeightedNode, coarser: Level) -> tuple[str, str]:
    """The sum of the encoder's map and the coarser level, and what the latter brings."""
    for node in survey.graph.nodes:
        live = survey.graph.live_inputs(node)
        if node.op != "Add" or len(live) != 2:
            continue
        nearest = [survey.ancestry.nearest(name) for name in live]
        for mine, other in ((0, 1), (1, 0)):
            if skip_end.index in nearest[mine] and nearest[other] == coarser.ends:
                return node.outputs[0], live[other]
    raise survey.error(f"expected a sum of the coarser level and {skip_end.describe()}")


def _unmerge(survey: Survey, join: Node, level: Level, resizer: ResizerLevel) -> None:
    """Read the sum of two convolutions as one convolution of both maps, which it is.

    Exports of a fused network have that form.
    """
    if not level.projection or not resizer.lateral:
        raise survey.error(f"{join.name} adds maps of the resizer that no convolution has made")
    ours, theirs = level.projection.pop(), resizer.lateral.pop()
    linear = [
        survey.passage(ours.result, level.decoder_tensor).activation,
        survey.passage(theirs.result, level.resizer_tensor).activation,
    ]
    if linear != ["none", "none"] or ours.kernel != 1 or theirs.kernel != 1:
        raise survey.error(f"{join.name} adds what is not linear in its maps")
    biases = [node.bias for node in (ours, theirs) if node.bias is not None]
    merged = WeightedNode(
        kind="conv",
        index=ours.index,
        name=f"{ours.name} + {theirs.name}",
        source=join.outputs[0],
        result=join.outputs[0],
        weight=np.concatenate([ours.weight, theirs.weight], 1),
        bias=np.sum(biases, axis=0) if biases else None,
    )
    survey.used.update((ours.index, theirs.index))
    if not level.merge:
        level.ends = frozenset({ours.index, theirs.index})
    level.merge.insert(0, merged)
    level.decoder_tensor, level.resizer_tensor = ours.source, theirs.source


def _read_options(
    survey: Survey,
    neck: Sequence[WeightedNode],
    resizer: Sequence[ResizerLevel],
    levels: Sequence[Level],
    heads: Sequence[Sequence[WeightedNode]],
) -> None:
    """Kernels, activations and places that all levels share."""
    numbers = range(_NUM_LEVELS)
    chain_ends = [level.chain[0].source for level in resizer[1:]]
    # What the last level gives goes to the decoder alone.
    last = resizer[-1]
    chain_ends.append(last.lateral[0].source if last.lateral else levels[-1].resizer_tensor)
    stacks = {
        "resizer": [(resizer[n].chain, chain_ends[n]) for n in numbers],
        "lateral": [(resizer[n].lateral, levels[n].resizer_tensor) for n in numbers],
        "projection": [(levels[n].projection, levels[n].decoder_tensor) for n in numbers],
        "concat": [(levels[n].merge, str(levels[n - 1].coarser_tensor)) for n in numbers[1:]],
    }
    stacks["concat"] += [(levels[0].merge, head[0].source) for head in heads]
    for part, items in stacks.items():
        kernels = [[node.kernel for node in nodes] for nodes, _ in items]
        acts = [survey.chain(nodes, end) if nodes else [] for nodes, end in items]
        survey.map.config[f"{part}_kernels"] = survey.same(f"the kernels of the {part}", kernels)
        survey.map.config[f"{part}_activations"] = survey.same(
            f"the activations of the {part}", acts
        )
    units = [n for level in levels for n in (*level.skip, *level.fused)]
    survey.map.config |= {
        "projection_first": _projects_first(survey, levels),
        "rcu_bias": any(node.bias is not None for node in units),
        "rcu_activation": survey.same(
            "the activations of the residual units", _unit_activations(survey, neck, levels)
        ),
    }


def _unit_activations(
    survey: Survey, neck: Sequence[WeightedNode], levels: Sequence[Level]
) -> list[str]:
    found = []
    for end, level in zip(neck, levels, strict=True):
        for start, unit in ((end.result, level.skip), (level.sum_tensor, level.fused)):
            if unit:
                found.append(survey.passage(start, unit[0].source).activation)
                found.append(survey.passage(unit[0].result, unit[1].source).activation)
    return found


def _projects_first(survey: Survey, levels: Sequence[Level]) -> bool:
    """Whether the projections run before the resize to the resizer's size."""
    answers = []
    for level in levels:
        resizes = [
            node
            for node in survey.graph.nodes
            if node.op == "Resize"
            and level.resized_tensor in survey.graph.downstream(node.outputs[0])
            and level.fused[-1].index in survey.ancestry.all(node.inputs[0])
        ]
        if len(resizes) != 1:
            raise survey.error(f"expected one resize in front of {level.resized_tensor}")
        nearest = survey.ancestry.nearest(resizes[0].inputs[0])
        before = [n for n, node in enumerate(level.projection, 1) if nearest == {node.index}]
        answers.append(before[0] if before else 0)
    count = survey.same("the places of the decoder's resizes", answers)
    kernels, acts = (survey.map.config[f"projection_{name}"] for name in ("kernels", "activations"))
    commute = all(kernel == 1 for kernel in kernels) and set(acts) <= {"none"}
    if count not in (0, len(kernels)) and not commute:
        raise survey.error("a resize between the projections of the decoder")
    return bool(count) and count == len(kernels)


def _take_resizer_level(survey: Survey, number: int, level: ResizerLevel) -> None:
    for name, nodes in (("levels", level.chain), ("laterals", level.lateral)):
        _take_stack(survey, f"model.resizer.{name}.{number}", nodes)
    key = f"model.resizer.levels.{number}.{len(level.chain) - 1}.convolution"
    survey.stage(f"resizer level {number}", key, level.chain[-1].result)


def _take_level(survey: Survey, number: int, level: Level) -> None:
    key = f"model.decoder.levels.{number}"
    for name, unit in (("skip_unit", level.skip), ("fused_unit", level.fused)):
        for place, node in enumerate(unit, 1):
            survey.take(f"{key}.{name}.convolution{place}", node)
    _take_stack(survey, f"{key}.projection", level.projection)
    _take_stack(survey, f"{key}.merge", level.merge)
    last = f"{key}.merge.{len(level.merge) - 1}.convolution"
    survey.stage(f"decoder level {number}", last, level.merge[-1].result)


def _take_stack(survey: Survey, key: str, nodes: Sequence[WeightedNode]) -> None:
    for place, node in enumerate(nodes):
        survey.take(f"{key}.{place}.convolution", node)
