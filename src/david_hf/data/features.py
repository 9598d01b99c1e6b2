"""Rows as `datasets` features: pictures decode to PIL images, maps to arrays."""

import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from datasets import Features, Image, List, Value
from datasets.features.features import register_feature
from datasets.table import array_cast

from .codecs import decode_exr, encode_exr
from .rows import (
    DEPTH_CHANNELS,
    NORMAL_CHANNELS,
    UNKNOWN_DEPTH,
    DepthCell,
    decode_depth,
    decode_normals,
)
from .sample import Array


class _Stored:
    """What `datasets` asks of a feature when it writes or converts columns."""

    pa_type: ClassVar[pa.DataType]

    def encode_example(self, value: Any) -> Any:
        """Encode one value."""
        raise NotImplementedError

    def cast_storage(self, storage: pa.Array) -> pa.Array:
        """Take what is stored as it is, and encode maps that came back from `map` as lists."""
        if pa.types.is_list(storage.type) or pa.types.is_large_list(storage.type):
            maps = (value.as_py() for value in storage)
            encoded = [None if m is None else self.encode_example(np.float32(m)) for m in maps]
            return pa.array(encoded, self.pa_type)
        return array_cast(storage, self.pa_type)

    def embed_storage(self, storage: pa.Array, **options: Any) -> pa.Array:
        """Nothing lies in other files."""
        return self.cast_storage(storage)


@dataclass
class DepthMap(_Stored):
    """Z-depth: (H, W) float32 metres, 0 where unknown; encoded as `rows.DepthCell`.

    Args:
        decode: Whether items come as arrays, or as they are stored.
    """

    decode: bool = True
    id: str | None = field(default=None, repr=False)
    dtype: ClassVar[str] = "dict"
    pa_type: ClassVar[Any] = pa.struct({"exr": pa.binary(), "metres_per_unit": pa.float64()})
    _type: str = field(default="DavidDepthMap", init=False, repr=False)

    def __call__(self) -> pa.DataType:
        """Arrow type of the stored values."""
        return self.pa_type

    def encode_example(self, value: DepthCell | Array) -> DepthCell:
        """Take a cell as it is, or an array in metres, 0 where unknown."""
        if isinstance(value, dict):
            return value
        depth = np.asarray(value, np.float32)
        stored = np.where(depth > 0, depth, np.float32(UNKNOWN_DEPTH))[..., None]
        return DepthCell(exr=encode_exr(stored, DEPTH_CHANNELS), metres_per_unit=1.0)

    def decode_example(self, value: DepthCell, token_per_repo_id: object = None) -> Array:
        """Decode a cell to metres."""
        return decode_depth(value)[0]


class _ExrMap(_Stored):
    """Maps that are stored as the bytes of an EXR file."""

    channels: ClassVar[str]
    dtype: ClassVar[str] = "bytes"
    pa_type: ClassVar[Any] = pa.binary()

    def __call__(self) -> pa.DataType:
        """Arrow type of the stored values."""
        return self.pa_type

    def encode_example(self, value: bytes | Array) -> bytes:
        """Take an EXR file as it is, or an array."""
        if isinstance(value, bytes):
            return value
        return encode_exr(np.asarray(value, np.float32), self.channels)


@dataclass
class NormalMap(_ExrMap):
    """Normals: (H, W, 3) float32, unit, X right, Y up, Z to the camera; zero where unknown.

    Args:
        decode: Whether items come as arrays, or as the EXR file they are stored as.
    """

    channels: ClassVar[str] = NORMAL_CHANNELS
    decode: bool = True
    id: str | None = field(default=None, repr=False)
    _type: str = field(default="DavidNormalMap", init=False, repr=False)

    def decode_example(self, value: bytes, token_per_repo_id: object = None) -> Array:
        """Decode an EXR file to unit vectors."""
        return decode_normals(value)[0]


@dataclass
class ForegroundMap(_ExrMap):
    """Premultiplied linear RGBA of the people, (H, W, 4) float32.

    Args:
        decode: Whether items come as arrays, or as the EXR file they are stored as.
    """

    channels: ClassVar[str] = "RGBA"
    decode: bool = True
    id: str | None = field(default=None, repr=False)
    _type: str = field(default="DavidForegroundMap", init=False, repr=False)

    def decode_example(self, value: bytes, token_per_repo_id: object = None) -> Array:
        """Decode an EXR file."""
        return decode_exr(value, self.channels)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # `datasets` calls this function experimental
    for _feature in (DepthMap, NormalMap, ForegroundMap):
        register_feature(_feature, _feature()._type)


def sample_features(decode: bool = True) -> Features:
    """The columns of every data set, those of `rows.Row`.

    Args:
        decode: Whether pictures and maps come decoded, or as `decode_row` takes them.
    """
    return Features(
        {
            "image": Image(decode=decode),
            "alpha": Image(decode=decode),
            "depth": DepthMap(decode=decode),
            "normals": NormalMap(decode=decode),
            "foreground": ForegroundMap(decode=decode),
            "intrinsics": List(List(Value("float64"))),
            "category": Value("string"),
            "id": Value("string"),
            "source": Value("string"),
            "factors": Value("string"),
        }
    )
