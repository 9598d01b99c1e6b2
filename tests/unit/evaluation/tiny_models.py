"""Configurations of the smallest models that several tests of predictors need."""

from transformers import (
    GLPNConfig,
    GLPNForDepthEstimation,
    Sapiens2Config,
    Sapiens2HeadConfig,
)


def glpn() -> GLPNForDepthEstimation:
    return GLPNForDepthEstimation(
        GLPNConfig(
            depths=[1, 1, 1, 1],
            hidden_sizes=[4, 8, 8, 8],
            num_attention_heads=[1, 1, 2, 2],
            mlp_ratios=[2, 2, 2, 2],
            decoder_hidden_size=8,
        )
    )


def sapiens2_config(num_labels: int) -> Sapiens2Config:
    return Sapiens2Config(
        patch_size=4,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_attention_heads=1,
        num_register_tokens=1,
        image_size=[32, 24],
        num_labels=num_labels,
        head_config=Sapiens2HeadConfig(upsample_out_channels=[8, 8], conv_out_channels=[8]),
    )
