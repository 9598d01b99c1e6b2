import pytest
import torch
from factories import random_images, tiny_mobilenet_config, tiny_model, tiny_vit_config
from transformers import MobileNetV2Config, MobileNetV2Model, ViTConfig, ViTModel

from david_hf.model import DavidModel
from david_hf.model.encoder_david import DavidReadout, DavidViTEncoder, build_encoder
from david_hf.model.mobilenet_v2_david import DavidMobileNetV2Encoder


def test_vit_maps_have_the_widths_and_scales_of_the_config(generator: torch.Generator) -> None:
    encoder = build_encoder(tiny_vit_config())

    maps = encoder(random_images(generator, 32, 32))

    # A grid of 4x4 tokens times 4, 2, 1, 0.5.
    assert [tuple(x.shape[1:]) for x in maps] == [(4, 16, 16), (6, 8, 8), (8, 4, 4), (10, 2, 2)]


def test_mobilenet_maps_lie_at_strides_4_to_32(generator: torch.Generator) -> None:
    encoder = build_encoder(tiny_mobilenet_config()).eval()

    maps = encoder(random_images(generator, 64, 64))

    expected = [(24, 16, 16), (32, 8, 8), (96, 4, 4), (320, 2, 2)]
    assert [tuple(x.shape[1:]) for x in maps] == expected


def copy_vit_weights(source: ViTModel, target: DavidViTEncoder) -> None:
    """Copy transformers' ViT, whose queries, keys and values are separate, into ours."""
    embeddings = source.embeddings
    target.embeddings.cls_token.data = embeddings.cls_token.data
    target.embeddings.position_embeddings.data = embeddings.position_embeddings.data
    projection = embeddings.patch_embeddings.projection
    target.embeddings.patch_projection.load_state_dict(projection.state_dict())
    weights = source.state_dict()
    for index, layer in enumerate(target.layers):
        prefix = f"layers.{index}."
        for kind in ("weight", "bias"):
            fused = [weights[f"{prefix}attention.{name}_proj.{kind}"] for name in "qkv"]
            layer.attention.qkv.get_parameter(kind).data = torch.cat(fused)
            for ours, theirs in {
                "attention.projection": "attention.o_proj",
                "attention_norm": "layernorm_before",
                "mlp_norm": "layernorm_after",
                "mlp_in": "mlp.fc1",
                "mlp_out": "mlp.fc2",
            }.items():
                layer.get_parameter(f"{ours}.{kind}").data = weights[f"{prefix}{theirs}.{kind}"]


def test_vit_blocks_compute_what_the_vit_of_transformers_computes(
    generator: torch.Generator,
) -> None:
    reference = ViTModel(
        ViTConfig(
            image_size=32,
            patch_size=8,
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=32,
            layer_norm_eps=1e-6,
        ),
        add_pooling_layer=False,
    ).eval()
    model = tiny_model(DavidModel)
    assert isinstance(model.encoder, DavidViTEncoder)
    copy_vit_weights(reference, model.encoder)
    images = random_images(generator, 32, 32)

    states = model(images, output_hidden_states=True).hidden_states

    expected = reference(images, output_hidden_states=True).hidden_states
    assert len(states) == 5
    # The last state of the reference has passed its final norm, which DAViD lacks.
    torch.testing.assert_close(states[:4], expected[:4])


def test_mobilenet_computes_what_the_mobilenet_of_transformers_computes(
    generator: torch.Generator,
) -> None:
    config = MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5)
    reference = MobileNetV2Model(config, add_pooling_layer=False).eval()
    encoder = DavidMobileNetV2Encoder(3, [2, 5, 12, 16]).eval()
    # Both list their tensors from the image on; the reference ends with a layer ours leaves out.
    values = list(reference.state_dict().values())[: len(encoder.state_dict())]
    encoder.load_state_dict(dict(zip(encoder.state_dict(), values, strict=True)))
    images = random_images(generator, 64, 64)

    maps = encoder(images)

    states = reference(images, output_hidden_states=True).hidden_states
    for ours, theirs in zip(maps, (states[1], states[4], states[11], states[15]), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_attention_implementations_agree_and_eager_returns_weights(
    generator: torch.Generator,
) -> None:
    model = tiny_model(DavidModel)
    images = random_images(generator)
    expected = model(images).last_hidden_state

    model.set_attn_implementation("eager")
    outputs = model(images, output_attentions=True)

    torch.testing.assert_close(outputs.last_hidden_state, expected)
    assert [tuple(x.shape) for x in outputs.attentions] == 4 * [(2, 2, 17, 17)]
    torch.testing.assert_close(outputs.attentions[0].sum(dim=-1), torch.ones(2, 2, 17))


@pytest.mark.parametrize(
    ("readout_type", "expected"), [("ignore", [2.0, 3.0]), ("add", [12.0, 13.0])]
)
def test_readout_without_weights_is_known(readout_type: str, expected: list[float]) -> None:
    tokens = torch.tensor([[[10.0], [2.0], [3.0]]])

    patches = DavidReadout(1, readout_type, "gelu")(tokens)

    assert patches.flatten().tolist() == expected


def test_projected_readout_sees_patch_and_class_token() -> None:
    readout = DavidReadout(1, "project", "relu")
    readout.projection.weight.data = torch.tensor([[1.0, 100.0]])
    readout.projection.bias.data.zero_()

    patches = readout(torch.tensor([[[10.0], [2.0], [3.0]]]))

    assert patches.flatten().tolist() == [1002.0, 1003.0]


@pytest.mark.parametrize("frozen", [True, False])
def test_batch_norms_keep_their_statistics_when_frozen(
    frozen: bool, generator: torch.Generator
) -> None:
    encoder = build_encoder(tiny_mobilenet_config(freeze_batch_norm=frozen)).train()
    before = {name: value.clone() for name, value in encoder.named_buffers()}

    encoder(random_images(generator, 64, 64))

    changed = [name for name, value in encoder.named_buffers() if not value.equal(before[name])]
    assert bool(changed) is not frozen
    assert encoder.training
