"""The network derived from the published numbers, apart from the package, with its open points.

It stands for the official files: the converter must read whatever variant it is given.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"),
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "hardswish": nn.Hardswish,
    "softplus": nn.Softplus,
    "none": nn.Identity,
    "leaky": lambda: nn.LeakyReLU(0.2),
}
Layers = tuple[tuple[int, str], ...]
CHANNELS = {"depth": 1, "normals": 3, "alpha": 1}


@dataclass(frozen=True)
class Variant:
    """One answer to every question that sizes and counts leave open."""

    tasks: tuple[str, ...] = ("depth", "normals", "alpha")
    resizer: Layers = ((3, "relu"), (1, "relu"))
    unit: Layers = ((1, "relu"),)
    lateral: Layers = ()
    projection: Layers = ((1, "none"),)
    projection_first: bool = False
    unit_activation: str = "relu"
    mlp_activation: str = "gelu"
    readout_activation: str = "gelu"
    batch_norm: bool = False
    qkv: str = "timm"  # timm, split, interleaved, sdpa, roots, pairs, flat, mha
    cls_first: bool = False
    swapped_concat: bool = False
    head: tuple[str, str] = ("relu", "relu")
    head_resize_first: bool = False
    alpha_end: str = "sigmoid"
    depth_end: str = "none"  # none, relu, sigmoid, softplus, negate, negate_relu
    normals_end: str = "none"  # none, tanh
    unit_normals: str = "no"  # no, normalize, norm, rsqrt
    align_skip: bool = True
    align_fusion: bool = True
    align_head: bool = True
    align_input: bool = False
    input_mode: str = "bilinear"
    scale_factors: bool = False
    colours: str = "none"  # none, both, encoder, resizer, affine, reversed
    qkv_bias: bool = True
    mlp_ratio: int = 4
    positions: str = "whole"  # whole, pieces
    input_size: int = 48
    image_size: int = 32
    patch_size: int = 8
    depth: int = 4
    width: int = 16
    heads: int = 2
    hooks: tuple[int, ...] = (0, 1, 2, 3)
    neck: tuple[int, ...] = (4, 6, 8, 10)
    fusion: int = 8
    resizer_width: int = 6


def conv(i: int, o: int, k: int, variant: Variant, stride: int = 1, bias: bool = True) -> nn.Module:
    layer = nn.Conv2d(i, o, k, stride, k // 2, bias=bias and not variant.batch_norm)
    return nn.Sequential(layer, nn.BatchNorm2d(o)) if variant.batch_norm else layer


class Attention(nn.Module):
    def __init__(self, v: Variant) -> None:
        super().__init__()
        self.v = v
        self.scale = (v.width // v.heads) ** -0.5
        count = {"split": (1, 1, 1), "pairs": (1, 2)}.get(v.qkv, (3,))
        self.qkv = nn.ModuleList(nn.Linear(v.width, n * v.width, v.qkv_bias) for n in count)
        self.out = nn.Linear(v.width, v.width)
        if v.qkv == "mha":
            self.mha = nn.MultiheadAttention(v.width, v.heads, bias=v.qkv_bias, batch_first=True)
            del self.qkv, self.out

    def cut(self, x: torch.Tensor) -> list[torch.Tensor]:
        batch, tokens, width = x.shape
        heads, size = self.v.heads, width // self.v.heads
        if self.v.qkv == "interleaved":
            joined = self.qkv[0](x).reshape(batch, tokens, heads, 3, size).permute(3, 0, 2, 1, 4)
            return [joined[0], joined[1], joined[2]]
        if self.v.qkv in ("split", "pairs"):
            parts = torch.cat([layer(x) for layer in self.qkv], -1).chunk(3, -1)
            if self.v.qkv == "split":
                parts = tuple(layer(x) for layer in self.qkv)
            return [p.reshape(batch, tokens, heads, size).transpose(1, 2) for p in parts]
        joined = self.qkv[0](x).reshape(batch, tokens, 3, heads, size).permute(2, 0, 3, 1, 4)
        return list(joined.unbind(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.v.qkv == "mha":
            return self.mha(x, x, x, need_weights=True)[0]
        q, k, value = self.cut(x)
        if self.v.qkv == "flat":
            q, k, value = (part.flatten(0, 1) for part in (q, k, value))
            mixed = torch.bmm(torch.bmm(q * self.scale, k.transpose(1, 2)).softmax(-1), value)
            mixed = mixed.unflatten(0, (x.shape[0], self.v.heads))
        elif self.v.qkv == "sdpa":
            mixed = F.scaled_dot_product_attention(q, k, value)
        elif self.v.qkv == "roots":
            root = self.scale**0.5
            mixed = ((q * root) @ (k * root).transpose(-2, -1)).softmax(-1) @ value
        elif self.v.qkv == "split":
            mixed = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1) @ value
        else:
            mixed = (q * self.scale @ k.transpose(-2, -1)).softmax(-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    def __init__(self, v: Variant) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(v.width, 1e-6), nn.LayerNorm(v.width, 1e-6)
        self.attention = Attention(v)
        hidden = v.width * v.mlp_ratio
        self.mlp = nn.Sequential(
            nn.Linear(v.width, hidden),
            ACTIVATIONS[v.mlp_activation](),
            nn.Linear(hidden, v.width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ResidualUnit(nn.Module):
    def __init__(self, v: Variant) -> None:
        super().__init__()
        self.one, self.two = (conv(v.fusion, v.fusion, 3, v) for _ in range(2))
        self.act = ACTIVATIONS[v.unit_activation]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.two(self.act(self.one(self.act(x))))


def stack(i: int, o: int, layers: Layers, v: Variant, stride: int) -> nn.Module:
    parts: list[nn.Module] = []
    for kernel, activation in layers:
        parts += [conv(i, o, kernel, v, stride), ACTIVATIONS[activation]()]
        i, stride = o, 1
    return nn.Sequential(*parts)


class DerivedNetwork(nn.Module):
    def __init__(self, v: Variant) -> None:
        super().__init__()
        self.v = v
        side = v.image_size // v.patch_size
        self.patch = nn.Conv2d(3, v.width, v.patch_size, v.patch_size)
        self.cls = nn.Parameter(torch.zeros(1, 1, v.width))
        self.positions = nn.Parameter(torch.zeros(1, side * side + 1, v.width))
        self.blocks = nn.ModuleList(Block(v) for _ in range(v.depth))
        self.readouts = nn.ModuleList(nn.Linear(2 * v.width, v.width) for _ in v.hooks)
        self.necks = nn.ModuleList(nn.Conv2d(v.width, n, 1) for n in v.neck)
        a, b, _, d = v.neck
        self.sizes = nn.ModuleList(
            [
                nn.ConvTranspose2d(a, a, 4, 4),
                nn.ConvTranspose2d(b, b, 2, 2),
                nn.Identity(),
                nn.Conv2d(d, d, 3, 2, 1),
            ]
        )
        self.rn = nn.ModuleList(nn.Conv2d(n, v.fusion, 3, padding=1, bias=False) for n in v.neck)
        widths = [3, *[v.resizer_width] * 4]
        self.resizer = nn.ModuleList(
            stack(widths[n], widths[n + 1], v.resizer, v, 2) for n in range(4)
        )
        self.skips = nn.ModuleList(ResidualUnit(v) for _ in range(3))
        self.fused = nn.ModuleList(ResidualUnit(v) for _ in range(4))
        self.out = nn.ModuleList(stack(v.fusion, v.fusion, v.projection, v, 1) for _ in range(4))
        self.laterals = nn.ModuleList(
            stack(v.resizer_width, v.resizer_width, v.lateral, v, 1) for _ in range(4)
        )
        self.readout_act = ACTIVATIONS[v.readout_activation]()
        joined = v.fusion + v.resizer_width
        self.units = nn.ModuleList(stack(joined, v.fusion, v.unit, v, 1) for _ in range(4))
        self.heads = nn.ModuleDict(
            {
                task: nn.ModuleList(
                    [conv(v.fusion, 8, 3, v), conv(8, 8, 3, v), nn.Conv2d(8, CHANNELS[task], 1)]
                )
                for task in v.tasks
            }
        )
        self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.5, 0.2, 0.3]).view(1, 3, 1, 1))

    def tokens(self, image: torch.Tensor) -> torch.Tensor:
        patches = self.patch(image).flatten(2).transpose(1, 2)
        cls = self.cls.expand(patches.shape[0], -1, -1)
        if self.v.positions == "pieces":
            patches = patches + self.positions[:, 1:]
            return torch.cat([cls + self.positions[:, :1], patches], 1)
        return torch.cat([cls, patches], 1) + self.positions

    def encode(self, image: torch.Tensor) -> list[torch.Tensor]:
        v = self.v
        sizes = [v.image_size] * 2
        x = F.interpolate(image, sizes, mode=v.input_mode, align_corners=v.align_input)
        if v.colours == "encoder":
            x = (x - self.mean) / self.std
        x = self.tokens(x)
        maps = []
        side = v.image_size // v.patch_size
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in v.hooks:
                n = len(maps)
                pair = [x[:, 1:], x[:, :1].expand_as(x[:, 1:])]
                both = torch.cat(pair[::-1] if v.cls_first else pair, -1)
                read = self.readout_act(self.readouts[n](both)).transpose(1, 2)
                grid = read.reshape(read.shape[0], v.width, side, side)
                maps.append(self.rn[n](self.sizes[n](self.necks[n](grid))))
        return maps

    def merge(self, level: int, fused: torch.Tensor, detail: torch.Tensor) -> torch.Tensor:
        if self.v.projection_first:
            fused = self.out[level](fused)
        size = detail.shape[-2:]
        fused = F.interpolate(fused, size, mode="bilinear", align_corners=self.v.align_fusion)
        if not self.v.projection_first:
            fused = self.out[level](fused)
        detail = self.laterals[level](detail)
        pair = [detail, fused] if self.v.swapped_concat else [fused, detail]
        return self.units[level](torch.cat(pair, 1))

    def head(self, task: str, x: torch.Tensor, size: torch.Size) -> torch.Tensor:
        v = self.v
        one, two, three = self.heads[task]
        first, second = (ACTIVATIONS[name]() for name in v.head)
        x = one(x)
        x = x if v.head_resize_first else first(x)
        how = {"scale_factor": 2.0} if v.scale_factors else {"size": size}
        x = F.interpolate(x, **how, mode="bilinear", align_corners=v.align_head)
        x = three(second(two(first(x) if v.head_resize_first else x)))
        if task == "normals":
            return self.end_normals(x)
        if task == "alpha":
            ends = {"sigmoid": torch.sigmoid, "clip": lambda a: a.clamp(0, 1), "none": lambda a: a}
            return ends[v.alpha_end](x)
        kind, _, inner = v.depth_end.rpartition("_")
        for name in (inner, kind):
            if name in ("relu", "sigmoid", "softplus"):
                x = getattr(F, name)(x)
        return -x.squeeze(1) if "negate" in v.depth_end else x.squeeze(1)

    def end_normals(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(x) if self.v.normals_end == "tanh" else x
        if self.v.unit_normals == "normalize":
            return F.normalize(x, dim=1)
        if self.v.unit_normals == "norm":
            return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-8)
        if self.v.unit_normals == "rsqrt":
            return x * torch.rsqrt((x * x).sum(1, keepdim=True) + 1e-12)
        return x

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        v = self.v
        size = image.shape[-2:]
        if v.colours == "both":
            image = (image - self.mean) / self.std
        if v.colours == "affine":
            image = image * 2 - 1
        if v.colours == "reversed":
            image = image[:, [2, 1, 0]]
        maps = self.encode(image)
        if v.colours == "resizer":
            image = (image - self.mean) / self.std
        details = []
        for level in self.resizer:
            image = level(image)
            details.append(image)
        x = self.merge(3, self.fused[3](maps[3]), details[3])
        for n in (2, 1, 0):
            skip = F.interpolate(
                self.skips[n](maps[n]), x.shape[-2:], mode="bilinear", align_corners=v.align_skip
            )
            x = self.merge(n, self.fused[n](x + skip), details[n])
        return tuple(self.head(task, x, size) for task in v.tasks)


def build(variant: Variant, seed: int = 0) -> DerivedNetwork:
    """A network with weights of its own everywhere, batch norms included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DerivedNetwork(variant)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim < 2:
                    parameter.add_(0.1 * torch.randn_like(parameter))
                elif parameter.ndim == 3:
                    parameter.normal_()
            for name, buffer in network.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_(std=0.1)
                if name.endswith("running_var"):
                    buffer.uniform_(0.5, 1.5)
    return network.eval()


_NAMES = {"gelu_tanh": "gelu_pytorch_tanh", "leaky": "leaky_relu_0.2"}


def expected_config(v: Variant) -> dict[str, object]:
    """What a converter should infer from a file of the variant."""

    def layers(part: Layers) -> tuple[list[int], list[str]]:
        return [kernel for kernel, _ in part], [_NAMES.get(act, act) for _, act in part]

    def other(value: bool) -> bool | None:
        return None if value == v.align_fusion else value

    ends = {"negate": "none", "negate_relu": "relu"}
    config: dict[str, object] = {
        "tasks": list(v.tasks),
        "out_indices": list(v.hooks),
        "num_attention_heads": v.heads,
        "hidden_act": _NAMES.get(v.mlp_activation, v.mlp_activation),
        "qkv_bias": v.qkv_bias,
        "mlp_ratio": float(v.mlp_ratio),
        "layer_norm_eps": 1e-6,
        "rcu_activation": _NAMES.get(v.unit_activation, v.unit_activation),
        "projection_first": v.projection_first and bool(v.projection),
        "head_activations": [_NAMES.get(act, act) for act in v.head],
        "resize_mode": v.input_mode,
        "resize_align_corners": v.align_input,
        "interp_align_corners": v.align_fusion,
        "skip_align_corners": other(v.align_skip),
        "head_align_corners": other(v.align_head),
    }
    readout = _NAMES.get(v.readout_activation, v.readout_activation)
    config["readout_act"] = None if readout == config["hidden_act"] else readout
    for name, part in (
        ("resizer", v.resizer),
        ("lateral", v.lateral),
        ("projection", v.projection),
        ("concat", v.unit),
    ):
        config[f"{name}_kernels"], config[f"{name}_activations"] = layers(part)
    config["head_resize_first"] = v.head_resize_first and v.head[0] != "none"
    if "depth" in v.tasks:
        config["depth_activation"] = ends.get(v.depth_end, v.depth_end)
        # Official files: depth alone grows towards the camera. An activation keeps a negation in
        # the graph; without one it goes into the weights.
        negated = v.depth_end == "negate_relu" or v.depth_end == "negate"
        config["depth_is_inverse"] = (len(v.tasks) == 1) != negated
    if "alpha" in v.tasks:
        config["alpha_activation"] = {"clip": "clip_0_1"}.get(v.alpha_end, v.alpha_end)
    if "normals" in v.tasks:
        config["normals_activation"] = v.normals_end
    means = {"both": [0.5, 0.4, 0.3], "resizer": [0.5, 0.4, 0.3], "affine": [0.5] * 3}
    deviations = {"both": [0.5, 0.2, 0.3], "resizer": [0.5, 0.2, 0.3], "affine": [0.5] * 3}
    config["image_mean"] = means.get(v.colours)
    config["image_std"] = deviations.get(v.colours)
    return config
