"""The heads: three convolutions before each output, and what happens to the last one's values."""

from collections.abc import Sequence

import numpy as np
import torch

from david_hf.model.activations_david import build_activation
from david_hf.model.heads_david import HEAD_NAMES
from david_hf.model.layers_david import unit_vectors

from .activations import ACTIVATIONS, read_passage
from .survey import Survey, describe
from .weighted_nodes import WeightedNode

__all__ = ["find_heads", "read_heads"]

_LAYERS = ("reduce.convolution", "refine.convolution", "predict")


def find_heads(survey: Survey, patch: WeightedNode) -> list[list[WeightedNode]]:
    """Return the three convolutions of each output, in the order of the outputs."""
    outputs = survey.graph.outputs
    seen = [survey.ancestry.all(name) for name in outputs]
    if any(patch.index not in ancestors for ancestors in seen):
        raise survey.error("an output does not depend on the patches of the image")
    heads = []
    for number, ancestors in enumerate(seen):
        others = frozenset().union(*(seen[:number] + seen[number + 1 :]))
        own = sorted(
            (survey.nodes[index] for index in ancestors - others),
            key=lambda node: (len(node.ancestors), node.index),
        )
        own = own[-3:] if len(seen) == 1 else own
        if [node.kind for node in own] != ["conv"] * 3 or own[-1].kernel != 1:
            raise survey.error(
                f"expected a head of three convolutions before output "
                f"{survey.graph.output_names[number]}, found {describe(own)}"
            )
        heads.append(own)
    return heads


def read_heads(
    survey: Survey,
    heads: Sequence[Sequence[WeightedNode]],
    tasks: Sequence[str],
    depth_is_inverse: bool,
) -> None:
    """Read the heads.

    Args:
        survey: The graph.
        heads: What `find_heads` found.
        tasks: Task of each.
        depth_is_inverse: Whether the graph's depth grows towards the camera.
    """
    activations, resizes = [], []
    for task, head, output, name in zip(
        tasks, heads, survey.graph.outputs, survey.graph.output_names, strict=True
    ):
        first = survey.passage(head[0].result, head[1].source)
        second = survey.passage(head[1].result, head[2].source)
        activations.append([first.activation, second.activation])
        resizes.append("before" if first.activation == "none" else first.resize)
        survey.map.outputs[task] = name
        key = HEAD_NAMES[task]
        for layer, node in zip(_LAYERS, head, strict=True):
            survey.take(f"{key}.{layer}", node)
        survey.stage(f"{task} head, first convolution", f"{key}.reduce.convolution", head[0].result)
        survey.stage(f"{task} head, last convolution", f"{key}.predict", head[2].result)
        if task == "normals":
            _read_normals_end(survey, head[2].result, output)
        else:
            _read_end(survey, task, head[2].result, output, depth_is_inverse)
    if "none" in resizes:
        raise survey.error("expected a resize behind the first convolution of each head")
    head_activations = survey.same("the activations of the heads", activations)
    survey.map.config |= {
        "tasks": list(tasks),
        "head_hidden_sizes": [heads[0][0].out_channels, heads[0][1].out_channels],
        "head_activations": head_activations,
        "head_resize_first": survey.same("the places of the heads' resizes", resizes) == "before"
        and head_activations[0] != "none",
    }


def _read_end(survey: Survey, task: str, raw: str, output: str, depth_is_inverse: bool) -> None:
    """Read what follows the last convolution of depth or alpha."""
    end = read_passage(survey.graph, raw, output)
    if end.resize != "none" or (end.sign < 0 and task != "depth"):
        raise survey.error(f"the {task} is resized or negated in the end")
    survey.map.config[f"{task}_activation"] = end.activation
    if task == "depth":
        # The network's raw depth is what is in front of a last negation.
        survey.map.depth_sign = end.sign
        survey.map.config["depth_is_inverse"] = depth_is_inverse == (end.sign > 0)


def _read_normals_end(survey: Survey, raw: str, output: str) -> None:
    """Read the activation on the normals, and whether the graph gives them unit length."""
    values = survey.probe([raw, output])
    lengths = np.linalg.norm(values[output].astype(np.float64), axis=1)
    if np.abs(lengths - 1).max() > 1e-3:
        survey.map.config["normals_activation"] = survey.passage(raw, output).activation
        return
    survey.map.unit_normals = True
    raw_values, units = (torch.from_numpy(values[name]) for name in (raw, output))
    for name in ACTIVATIONS:
        # Divided by their length they are what the graph gives: no need to know how it divides.
        found = unit_vectors(build_activation(name)(raw_values.clone()))
        if torch.allclose(found, units, atol=1e-4):
            survey.map.config["normals_activation"] = name
            return
    raise survey.error("expected normals of unit length, found another end")
