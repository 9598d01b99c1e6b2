"""transformers' own tests of models and configurations, run on DAViD."""

import unittest
from typing import Any

from factories import (
    MODEL_CLASSES,
    SINGLE_TASKS,
    disc_mask,
    sphere_labels,
    tiny_mobilenet_config,
    tiny_vit_config,
)
from torch import nn
from transformers_tests.test_configuration_common import ConfigTester
from transformers_tests.test_modeling_common import ModelTesterMixin, floats_tensor

from david_hf.model import (
    DavidConfig,
    DavidModel,
    DavidPreTrainedModel,
)

BATCH_SIZE, HEIGHT, WIDTH = 2, 32, 32


def two_level_config() -> DavidConfig:
    """As few layers as the common tests allow."""
    return tiny_vit_config(
        num_hidden_layers=2,
        out_indices=[0, 1],
        neck_hidden_sizes=[6, 10],
        reassemble_factors=[2, 0.5],
        resizer_hidden_sizes=[4, 8],
    )


class DavidModelTester:
    """What the mixin asks a model's tests for."""

    batch_size = BATCH_SIZE
    is_training = True

    def __init__(self, config: DavidConfig) -> None:
        self.config = config
        self.image_size = HEIGHT
        self.num_channels = config.num_channels
        self.hidden_size = config.hidden_size
        self.num_hidden_layers = config.num_hidden_layers
        self.num_attention_heads = config.num_attention_heads
        self.seq_length = (config.image_size // config.patch_size) ** 2 + 1

    def get_config(self) -> DavidConfig:
        return self.config

    def prepare_config_and_inputs_for_common(self) -> tuple[DavidConfig, dict[str, Any]]:
        pixel_values = floats_tensor([BATCH_SIZE, self.num_channels, HEIGHT, WIDTH])
        return self.get_config(), {"pixel_values": pixel_values}


class DavidViTTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = tuple(MODEL_CLASSES)
    test_resize_embeddings = False

    def setUp(self) -> None:
        self.model_tester = DavidModelTester(two_level_config())
        self.config_tester = ConfigTester(
            self, config_class=DavidConfig, has_text_modality=False, hidden_size=36
        )

    def _prepare_for_class(
        self,
        inputs_dict: dict[str, Any],
        model_class: type[DavidPreTrainedModel],
        return_labels: bool = False,
    ) -> dict[str, Any]:
        inputs: dict[str, Any] = super()._prepare_for_class(inputs_dict, model_class)
        if return_labels and model_class is not DavidModel:
            labels = sphere_labels(HEIGHT, WIDTH, BATCH_SIZE)
            task = SINGLE_TASKS.get(model_class)
            inputs["labels"] = labels[task] if task else labels
            inputs["mask"] = disc_mask(HEIGHT, WIDTH, BATCH_SIZE)
        return inputs

    def test_config(self) -> None:
        self.config_tester.run_common_tests()

    def test_model_get_set_embeddings(self) -> None:
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            assert isinstance(model_class(config).get_input_embeddings(), nn.Module)


class DavidMobileNetTest(DavidViTTest):
    """The nano encoder: its widths and depth are fixed, and it has maps instead of tokens."""

    has_attentions = False

    def setUp(self) -> None:
        super().setUp()
        self.model_tester = DavidModelTester(tiny_mobilenet_config())

    def test_hidden_states_output(self) -> None:
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            outputs = model_class(config).eval()(**inputs, output_hidden_states=True)

            shapes = [state.shape[1:] for state in outputs.hidden_states]
            assert len(shapes) == config.num_hidden_layers + 1
            assert shapes[0] == (32, config.image_size // 2, config.image_size // 2)
            assert shapes[-1] == (320, config.image_size // 32, config.image_size // 32)

    @unittest.skip("the encoder alone has 1.8 million parameters")
    def test_model_is_small(self) -> None:
        pass

    @unittest.skip("the encoder has seventeen blocks")
    def test_num_layers_is_small(self) -> None:
        pass
