"""From a graph to DAViD's configuration and state, by data flow alone: names are never read.

Anchors are found by their shapes (the patch embedding, the readouts), all else by which weighted
nodes lie in front of it, and by what parts of the graph compute (docs/official_weights.md).
"""

from collections.abc import Sequence

from .decoder_map import read_decoder, read_resizer
from .encoder_map import find_patch_embedding, read_encoder
from .geometry_map import read_colours, read_resizes
from .head_map import find_heads, read_heads
from .onnx_graph import OnnxGraph
from .survey import GraphMap, Survey

__all__ = ["GraphMap", "read_graph"]


def read_graph(graph: OnnxGraph, tasks: Sequence[str], depth_is_inverse: bool) -> GraphMap:
    """Map a graph onto the network.

    Args:
        graph: The graph.
        tasks: Task of each output.
        depth_is_inverse: Whether the graph's depth grows towards the camera.

    Raises:
        ConversionError: If a part of the network is not found or is not DAViD's.
    """
    survey = Survey(graph)
    patch = find_patch_embedding(survey)
    neck = read_encoder(survey, patch)
    heads = find_heads(survey, patch)
    resizer = read_resizer(survey, patch)
    levels = read_decoder(survey, patch, neck, resizer, heads)
    read_heads(survey, heads, tasks, depth_is_inverse)
    read_resizes(survey, levels, heads)
    read_colours(survey, patch, resizer[0].chain[0])
    survey.map.unused = [n.describe() for n in survey.nodes if n.index not in survey.used]
    return survey.map
