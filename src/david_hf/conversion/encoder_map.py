"""The transformer and what follows it, down to decoder width, read by shapes and data flow."""

import numpy as np

from .attention import find_attention, read_attention
from .onnx_graph import MOVES
from .survey import Survey, describe
from .weighted_nodes import WeightedNode

__all__ = ["find_patch_embedding", "read_encoder"]

_ENCODER = "model.encoder"


def find_patch_embedding(survey: Survey) -> WeightedNode:
    """Return the convolution whose stride is its kernel and that sees the image first."""
    found = [
        node
        for node in survey.nodes
        if node.kind == "conv" and node.kernel == node.stride > 1 and len(node.ancestors) == 1
    ]
    if len(found) != 1:
        raise survey.error(f"expected one patch embedding, found {describe(found)}")
    return found[0]


def read_encoder(survey: Survey, patch: WeightedNode) -> list[WeightedNode]:
    """Read the encoder.

    Args:
        survey: The graph.
        patch: Its patch embedding.

    Returns:
        The convolutions that bring its four maps to decoder width, finest first.
    """
    readouts = _find_readouts(survey, patch)
    _read_transformer(survey, patch, readouts)
    return _read_reassembly(survey, readouts)


def _find_readouts(survey: Survey, patch: WeightedNode) -> list[WeightedNode]:
    width = patch.out_channels
    found = [
        node
        for node in survey.nodes
        if node.kind == "linear"
        and node.weight.shape == (width, 2 * width)
        # An MLP may have that shape, too: no convolution follows it.
        and all(other.kind == "conv" for other in survey.nodes if node.index in other.parents)
    ]
    if len(found) != 4:
        raise survey.error(
            f"expected four projections of patch and class token ({width} x {2 * width}), "
            f"found {describe(found)}"
        )
    return sorted(found, key=lambda node: len(node.ancestors))


def _read_transformer(survey: Survey, patch: WeightedNode, readouts: list[WeightedNode]) -> None:
    width = patch.out_channels
    inside = readouts[-1].ancestors - {patch.index, readouts[-1].index}
    layers = sorted(
        (survey.nodes[index] for index in inside),
        key=lambda node: (len(node.ancestors), node.index),
    )
    if not layers or any(len(r.ancestors - {patch.index}) < 2 for r in readouts):
        raise survey.error("expected transformer blocks in front of the readouts")
    survey.take(f"{_ENCODER}.embeddings.patch_projection", patch)
    survey.stage("patches", f"{_ENCODER}.embeddings.patch_projection", patch.result)
    _read_embeddings(survey, patch, layers[0].source)
    blocks = _split_blocks(survey, layers, width)
    num_heads = _take_blocks(survey, blocks)
    ends = [block[-1].index for block in blocks]
    hooks = [max(place for place, end in enumerate(ends) if end in r.ancestors) for r in readouts]
    acts = [survey.passage(block[-2].result, block[-1].source).activation for block in blocks]
    norms = [node.eps for block in blocks for node in block if node.kind == "norm"]
    if max(norms) - min(norms) > 1e-3 * max(norms):
        raise survey.error(f"the layer norms differ in their epsilon: {sorted(set(norms))}")
    survey.map.config |= {
        "encoder_type": "vit",
        "num_channels": patch.in_channels,
        "patch_size": patch.kernel,
        "hidden_size": width,
        "num_hidden_layers": len(blocks),
        "num_attention_heads": num_heads,
        "mlp_ratio": blocks[0][-2].out_channels / width,
        "hidden_act": survey.same("the activations of the transformer", acts),
        # As it was written down, before it became a single-precision number.
        "layer_norm_eps": float(f"{norms[0]:.6g}"),
        "qkv_bias": any(node.bias is not None for block in blocks for node in block[1:-4]),
        "out_indices": hooks,
        "readout_type": "project",
    }


def _split_blocks(
    survey: Survey, layers: list[WeightedNode], width: int
) -> list[list[WeightedNode]]:
    """Cut the list into blocks: norm, queries to values in any number of layers, four more."""
    blocks: list[list[WeightedNode]] = []
    rest = list(layers)
    while rest:
        size, columns = 1, 0
        while size < len(rest) and columns < 3 * width:
            columns += rest[size].out_channels
            size += 1
        block, rest = rest[: size + 4], rest[size + 4 :]
        kinds = [node.kind for node in block]
        expected = ["norm", *["linear"] * size, "norm", "linear", "linear"]
        if kinds != expected or columns != 3 * width:
            raise survey.error(
                f"expected transformer blocks of {', '.join(expected)}; block {len(blocks)} has "
                f"{describe(block)}"
            )
        blocks.append(block)
    return blocks


def _take_blocks(survey: Survey, blocks: list[list[WeightedNode]]) -> int:
    """Take the weights of all blocks; returns the number of attention heads."""
    places = find_attention(
        survey.graph, survey.ancestry, [(block[1:-4], block[-4]) for block in blocks]
    )
    values = survey.probe(name for place in places for name in place.tensors)
    num_heads = []
    for number, (block, place) in enumerate(zip(blocks, places, strict=True)):
        key = f"{_ENCODER}.layers.{number}"
        attention = read_attention(survey.graph, place, values)
        num_heads.append(attention.num_heads)
        survey.used.update(node.index for node in place.inputs)
        survey.map.state[f"{key}.attention.qkv.weight"] = attention.weight
        if attention.bias is not None:
            survey.map.state[f"{key}.attention.qkv.bias"] = attention.bias
        norm, projection, mlp_norm, mlp_in, mlp_out = block[0], *block[-4:]
        projection.weight = attention.output_weight
        survey.take(f"{key}.attention_norm", norm)
        survey.take(f"{key}.attention.projection", projection)
        survey.take(f"{key}.mlp_norm", mlp_norm)
        survey.take(f"{key}.mlp_in", mlp_in)
        survey.take(f"{key}.mlp_out", mlp_out)
        survey.stage(f"transformer block {number}", key, _sum_behind(survey, mlp_out))
    return int(survey.same("the numbers of attention heads", num_heads))


def _sum_behind(survey: Survey, node: WeightedNode) -> str:
    """The sum that a block's last layer goes into."""
    for consumer in survey.graph.consumers[node.result]:
        if consumer.op == "Add":
            return consumer.outputs[0]
    raise survey.error(f"expected a sum behind {node.describe()}")


def _read_embeddings(survey: Survey, patch: WeightedNode, end: str) -> None:
    """Walk from the patches to the first block and collect class token and positions."""
    graph, width = survey.graph, patch.out_channels
    tensor, cls_token, positions = patch.result, None, np.zeros((1, width), np.float32)
    while tensor != end:
        consumers = graph.consumers[tensor]
        if len(consumers) != 1:
            raise survey.error(f"expected one way from the patches to the transformer at {tensor}")
        (node,) = consumers
        fixed = graph.fixed_inputs(node)
        if node.op == "Concat" and cls_token is None and len(fixed) == 1:
            cls_token = graph.constant(fixed[0]).reshape(-1, width)[:1]
            filler = np.zeros((1, width), np.float32)
            # Positions of the patches alone, if some were added already.
            positions = np.concatenate([filler, positions]) if len(positions) > 1 else positions
        elif node.op == "Add" and len(fixed) == 1:
            positions = positions + _as_tokens(survey, graph.constant(fixed[0]), width)
        elif node.op not in MOVES:
            raise survey.error(f"unexpected {node.op} {node.name} before the transformer")
        tensor = node.outputs[0]
    side = graph.shapes[patch.result][-1]
    if cls_token is None or len(positions) != side * side + 1:
        raise survey.error(
            f"expected a class token and {side * side + 1} positions, found {len(positions)}"
        )
    survey.map.config["image_size"] = side * patch.kernel
    key = f"{_ENCODER}.embeddings"
    survey.map.state[f"{key}.cls_token"] = cls_token[None].astype(np.float32)
    survey.map.state[f"{key}.position_embeddings"] = positions[None].astype(np.float32)
    survey.stage("tokens", key, end)


def _as_tokens(survey: Survey, values: np.ndarray, width: int) -> np.ndarray:
    """Bring positions of any layout to (tokens, width)."""
    if values.ndim == 4 and values.shape[1] == width:
        return values[0].reshape(width, -1).T
    if values.size % width:
        raise survey.error(f"expected positions of width {width}, got shape {values.shape}")
    return values.reshape(-1, width)


def _read_reassembly(survey: Survey, readouts: list[WeightedNode]) -> list[WeightedNode]:
    """Read what follows each readout, down to the convolution that gives decoder width."""
    ends, factors, acts = [], [], []
    values = survey.probe(readout.source for readout in readouts)
    for level, readout in enumerate(readouts):
        key = f"{_ENCODER}.reassemble.{level}"
        _order_readout(readout, values[readout.source])
        survey.take(f"{key}.readout.projection", readout)
        neck = survey.successor(readout)
        acts.append(survey.passage(readout.result, neck.source).activation)
        survey.take(f"{key}.projection", neck)
        end, factor = survey.successor(neck), 1.0
        if end.kind == "conv_transpose" or end.stride > 1:
            factor = float(end.stride) if end.kind == "conv_transpose" else 1.0 / end.stride
            survey.take(f"{key}.resize", end)
            end = survey.successor(end)
        survey.take(f"model.decoder.input_projections.{level}", end)
        survey.stage(f"encoder map {level}", f"model.decoder.input_projections.{level}", end.result)
        ends.append(end)
        factors.append(factor)
    readout_act = survey.same("the activations of the readouts", acts)
    survey.map.config |= {
        "readout_act": None if readout_act == survey.map.config["hidden_act"] else readout_act,
        "neck_hidden_sizes": [end.in_channels for end in ends],
        "reassemble_factors": factors,
        "fusion_hidden_size": ends[0].out_channels,
        "rn_bias": any(end.bias is not None for end in ends),
    }
    return ends


def _order_readout(readout: WeightedNode, values: np.ndarray) -> None:
    """Put the patch's channels in front of the class token's, as the network has them.

    The class token is the half that is the same for every patch.
    """
    first, second = np.split(values.reshape(-1, values.shape[-2], values.shape[-1])[0], 2, axis=1)
    if np.ptp(first, axis=0).max() < np.ptp(second, axis=0).max():
        readout.weight = np.concatenate(np.split(readout.weight, 2, axis=1)[::-1], axis=1)
