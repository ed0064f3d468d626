"""PyTorch's checkpoint files without PyTorch, and without running what is in them.

A `.pt` file is a zip archive: a pickle of what was saved, in which tensors refer to files of raw numbers;
before PyTorch 1.6 it was pickles, one after another, with the numbers behind them. A pickle can name any
function of any module and have it called. Here it can name only what a state dict is made of; modules of a
TorchScript archive become bags of attributes, and their code is never read.
"""

import io
import math
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file

# The class of a storage, which a tensor is a view of, gives the type of its numbers.
DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
}
LEGACY = 0x1950A86A20F9469CFC6C  # what files from before PyTorch 1.6 begin with
NESTED = ("state_dict", "model")  # keys under which training scripts put the state dict


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint by their dotted names. Those of a PyTorch file are read-only.

    path: a file of `torch.save`, which holds a state dict, maybe under "state_dict" or "model"; a TorchScript
    archive; or, by its suffix, a `.safetensors` or `.npz` file. Nothing in the file is executed.
    Raises ValueError, naming the file, for anything else: an object that is neither a tensor nor a plain
    container or number, broken numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                saved = _ArchiveUnpickler(archive).load()
        else:
            with path.open("rb") as file:
                saved = _read_legacy(file, path.stat().st_size)
        return dict(_tensors(_state_dict(saved)))
    except Exception as error:  # a broken or hostile pickle can raise anything
        raise ValueError(f"{path}: {error}") from error


class _Inert:
    """What a pickle may hold but not change: its BUILD would otherwise set any attribute."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __setstate__(self, state: Any):
        raise ValueError(f"the pickle changes a {type(self).__name__}, which no PyTorch file does")


class _Storage(_Inert):
    """value: an array of one axis."""


class _Tensor(_Inert):
    """value: an array."""


class _Function(_Inert):
    """value: a function of this file, for the pickle to call."""

    def __call__(self, *args: Any) -> Any:
        return self.value(*args)


class _Module:
    """An object of a TorchScript class: its attributes, and nothing that it does."""

    __slots__ = ("attributes",)

    def __setstate__(self, state: Any):
        self.attributes = state


def _view(storage: _Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> _Tensor:
    """torch._utils._rebuild_tensor_v2: offset and stride count numbers, not bytes."""
    array = storage.value
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (math.prod(size) and last >= len(array)):
        raise ValueError(
            f"a tensor of size {size}, stride {stride} from {offset} leaves its {len(array)} numbers"
        )
    strides = [step * array.itemsize for step in stride]
    return _Tensor(np.lib.stride_tricks.as_strided(array[offset:], size, strides, writeable=False))


def _first(value: Any, *_: Any) -> Any:
    return value


GLOBALS = {
    "collections.OrderedDict": OrderedDict,
    "torch.Size": _Function(tuple),
    "torch._utils._rebuild_tensor_v2": _Function(_view),
    "torch._utils._rebuild_parameter": _Function(_first),
    "torch.jit._pickle.restore_type_tag": _Function(_first),
    **{
        f"torch.jit._pickle.build_{kind}list": _Function(list) for kind in ("int", "double", "bool", "tensor")
    },
    # Only names: `persistent_load` looks them up.
    **{f"torch.{name}": name for name in DTYPES},
}


class _Unpickler(pickle.Unpickler):
    """Builds what a pickle describes, of `GLOBALS` and modules only."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Module
        if f"{module}.{name}" not in GLOBALS:
            raise ValueError(
                f"refused to build {module}.{name}, which is no part of a state dict; save the weights "
                "alone: torch.save(model.state_dict(), new)"
            )
        return GLOBALS[f"{module}.{name}"]

    def persistent_load(self, reference: Any) -> _Storage:
        """("storage", class, key, device, length in numbers, ...) -> the numbers of that key, read once."""
        kind, storage, key, _, length, *view = reference
        if kind != "storage" or storage not in DTYPES or any(view):
            raise ValueError(f"expected a reference to a whole storage, got {reference}")
        if key not in self._storages:
            self._storages[key] = _Storage(self._numbers(key, np.dtype(DTYPES[storage]), length))
        return self._storages[key]


class _ArchiveUnpickler(_Unpickler):
    """Of a zip archive, where each storage is a file data/key."""

    def __init__(self, archive: zipfile.ZipFile):
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError(
                f"expected one data.pkl, as in an archive of torch.save or torch.jit.save, got {pickles}"
            )
        super().__init__(io.BytesIO(archive.read(pickles[0])))
        self._archive, self._folder = archive, pickles[0].removesuffix("data.pkl")
        self._storages: dict[str, _Storage] = {}
        order = self._folder + "byteorder"  # absent before PyTorch 2.1, which wrote the machine's own
        self._order = archive.read(order).decode() if order in archive.namelist() else "little"

    def _numbers(self, key: str, dtype: np.dtype, length: int) -> np.ndarray:
        file = self._archive.getinfo(f"{self._folder}data/{key}")
        if file.file_size != length * dtype.itemsize:
            raise ValueError(f"{file.filename} has {file.file_size} bytes, not {length} of {dtype}")
        array = np.frombuffer(self._archive.read(file), dtype)
        return array if self._order == sys.byteorder else array.byteswap()


class _LegacyUnpickler(_Unpickler):
    """Of a file from before PyTorch 1.6: the numbers come behind the pickles, and are filled in then."""

    def __init__(self, file: BinaryIO, size: int):
        super().__init__(file)
        self._size = size
        self._storages: dict[str, _Storage] = {}

    def _numbers(self, key: str, dtype: np.dtype, length: int) -> np.ndarray:
        if not 0 <= length * dtype.itemsize <= self._size:
            raise ValueError(f"a storage of {length} numbers of {dtype} in a file of {self._size} bytes")
        return np.zeros(length, dtype)

    def fill(self, key: str, file: BinaryIO) -> None:
        """Reads a storage: how many numbers, as int64, and those."""
        array = self._storages[key].value
        length = int.from_bytes(file.read(8), "little")
        if length != len(array) or file.readinto(array.view(np.uint8)) != array.nbytes:
            raise ValueError(f"storage {key} is cut short, or not of {len(array)} numbers")


def _read_legacy(file: BinaryIO, size: int) -> Any:
    """A magic number, a version, the machine that wrote it, what was saved, the storages' keys; numbers."""
    if not file.peek(2).startswith(b"\x80\x02") or _Unpickler(file).load() != LEGACY:
        raise ValueError("this is no file of torch.save or torch.jit.save")
    _, machine = _Unpickler(file).load(), _Unpickler(file).load()
    if not machine["little_endian"]:
        raise ValueError("it was written on a big-endian machine")
    unpickler = _LegacyUnpickler(file, size)
    saved = unpickler.load()
    for key in _Unpickler(file).load():
        unpickler.fill(key, file)
    return saved


def _state_dict(saved: Any) -> Any:
    """What is saved, or what is under the first of the usual keys in it."""
    for key in NESTED:
        if isinstance(saved, dict) and isinstance(saved.get(key), dict):
            return _state_dict(saved[key])
    return saved


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Name and array of every tensor in nested containers and modules."""
    if isinstance(value, _Tensor):
        yield name, value.value
        return
    if isinstance(value, _Module):
        value = getattr(value, "attributes", None)
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _tensors(child, f"{name}.{key}" if name else str(key))
