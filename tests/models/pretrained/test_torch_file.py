import collections
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vgm_jax.models.pretrained.torch_file import read_torch

FILES = Path(__file__).with_name("files")  # by experiments/pretrained_weights/torch_fixtures.py


def test_what_torch_saved():
    numbers = np.arange(24, dtype=np.float32).reshape(4, 6)
    expected = {
        "whole": numbers,
        "transposed": numbers.T,
        "every_second": numbers[1:, ::2],
        "row": numbers[2],
        "scalar": np.float64(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "parameter": np.ones(2, np.float32),
        "half": np.array([0.5, -2], np.float16),
        "bfloat16": np.array([0.5, -2]),
        "long": np.array([2**40, -1]),
        "int": np.array([7, -7], np.int32),
        "byte": np.array([0, 255], np.uint8),
        "bool": np.array([True, False]),
        "conv.weight": np.full((2, 2), 3, np.float32),
        "parts.0": np.ones(1, np.float32),
        "parts.1.0": np.zeros(1, np.float32),
    }
    found = read_torch(FILES / "state.pt")
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert name == "bfloat16" or found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name].astype(array.dtype), array, name, strict=name != "scalar")
    assert found["bfloat16"].dtype.name == "bfloat16" and found["scalar"].shape == ()
    assert np.shares_memory(found["whole"], found["transposed"]), "one storage, read once"


def test_a_torchscript_archive_gives_its_modules_tensors():
    found = read_torch(FILES / "script.pt")
    block = {
        "conv3d.weight": (3, 2, 1, 1, 1),
        "conv3d.bias": (3,),
        **{f"batch3d.{name}": (3,) for name in ("weight", "bias", "running_mean", "running_var")},
        "batch3d.num_batches_tracked": (),
    }
    expected = {f"{prefix}.{name}": shape for prefix in ("first", "rest.1") for name, shape in block.items()}
    assert {name: array.shape for name, array in found.items()} == expected
    for i, name in enumerate(expected):  # as the script that wrote them filled them
        np.testing.assert_array_equal(found[name].ravel(), np.arange(found[name].size) + 100 * i, name)


def test_other_kinds_of_file(tmp_path):
    arrays = {"a.weight": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.ones(2, np.float32)}
    save_file(arrays, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **arrays)
    for path in tmp_path.iterdir():
        found = read_torch(path)
        assert sorted(found) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array, strict=True)


def archive(path, saved, protocol=2, numbers=b""):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "archive/data.pkl", saved if isinstance(saved, bytes) else pickle.dumps(saved, protocol)
        )
        file.writestr("archive/data/0", numbers)
    return path


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda mark: Calls(os.mkdir, str(mark)), "mkdir"),
        (lambda mark: Calls(eval, f"__import__('os').mkdir({str(mark)!r})"), "eval"),
    ],
)
def test_a_malicious_pickle_is_refused_before_it_runs(tmp_path, protocol, call, name):
    mark = tmp_path / "mark"
    path = archive(tmp_path / "evil.pt", {"weight": call(mark)}, protocol)
    with pytest.raises(
        ValueError, match=rf"evil\.pt: refused to build \w+\.{name}, which is no part of a state dict"
    ):
        read_torch(path)
    assert not mark.exists()
    pickle.loads(zipfile.ZipFile(path).read("archive/data.pkl"))
    assert mark.exists(), "the pickle is not malicious, and the test shows nothing"


def test_a_malicious_npz_is_refused(tmp_path):
    mark = tmp_path / "mark"
    np.savez(tmp_path / "evil.npz", a=np.array([Calls(os.mkdir, str(mark))], dtype=object))
    with pytest.raises(ValueError, match="evil.npz: Object arrays cannot be loaded"):
        read_torch(tmp_path / "evil.npz")
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins\ngetattr",
        "torch\nload",
        "torch._utils\n_rebuild_tensor",
        "numpy.core.multiarray\n_reconstruct",
    ]
    + ["__torch__x\nM", "collections\nOrderedDict.update", "vgm_jax.models.pretrained.torch_file\n_view"],
)
def test_only_what_a_state_dict_is_made_of(tmp_path, name):
    path = archive(tmp_path / "a.pt", b"c" + name.encode() + b"\n.")
    with pytest.raises(ValueError, match="a.pt: refused to build " + name.replace("\n", r"\.")):
        read_torch(path)


@pytest.mark.parametrize(
    "program",
    {
        # BUILD with (None, {attribute: value}) sets attributes of whatever is on the stack
        "function": b"ctorch._utils\n_rebuild_tensor_v2\n(NX\x05\x00\x00\x00valueK\x01dtb.",
        "class": b"c__torch__\nM\n(NX\x0c\x00\x00\x00__setstate__K\x01dtb.",
        "container": b"ccollections\nOrderedDict\n(NX\x04\x00\x00\x00copyK\x01dtb.",
        "cut off": pickle.dumps({"a": 1}, 2)[:-3],
    }.items(),
    ids=lambda item: item[0],
)
def test_broken_and_hostile_programs(tmp_path, program):
    with pytest.raises(ValueError, match="a.pt: "):
        read_torch(archive(tmp_path / "a.pt", program[1]))
    assert isinstance(collections.OrderedDict.copy, type(dict.copy))
    assert len(read_torch(FILES / "script.pt")) == 14, "and nothing has changed"


def test_a_container_in_itself(tmp_path):
    knot = []
    knot.append(knot)
    with pytest.raises(ValueError, match="a.pt: maximum recursion depth"):
        read_torch(archive(tmp_path / "a.pt", knot))


def tensor(offset, size, stride, kind="FloatStorage", length=4):
    """The pickle, in protocol 0, of one view of the archive's storage 0."""

    def numbers(values):
        return "(" + "".join(f"I{v}\n" for v in values) + "t"

    storage = f"(Vstorage\nctorch\n{kind}\nV0\nVcpu\nI{length}\ntQ"
    view = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n{numbers(size)}{numbers(stride)}I00\nNtR"
    return f"(Va\n{view}d.".encode()


def test_views_stay_inside_their_storage(tmp_path):
    raw = np.arange(4, dtype=np.float32).tobytes()
    found = read_torch(archive(tmp_path / "a.pt", tensor(1, (3, 1), (1, 9)), numbers=raw))
    np.testing.assert_array_equal(found["a"], [[1], [2], [3]])
    for offset, size, stride in [
        (1, (4,), (1,)),
        (0, (2,), (4,)),
        (-1, (1,), (1,)),
        (3, (2,), (-1,)),
        (0, (2**62,), (1,)),
    ]:
        with pytest.raises(ValueError, match="a.pt: a tensor of size .* leaves its 4 numbers"):
            read_torch(archive(tmp_path / "a.pt", tensor(offset, size, stride), numbers=raw))
    with pytest.raises(ValueError, match="archive/data/0 has 16 bytes, not 4 of float64"):
        read_torch(archive(tmp_path / "a.pt", tensor(0, (1,), (1,), "DoubleStorage"), numbers=raw))


def test_files_from_before_pytorch_1_6(tmp_path):
    old, new = read_torch(FILES / "legacy.pt"), read_torch(FILES / "state.pt")
    assert len(old) == 13 and old["every_second"].tolist() == [[6, 8, 10], [12, 14, 16], [18, 20, 22]]
    for name, array in old.items():
        assert array.dtype == new[name].dtype and np.array_equal(array, new[name]), name
    data = (FILES / "legacy.pt").read_bytes()
    for length in (10, 100, len(data) - 3):
        (tmp_path / "torn.pt").write_bytes(data[:length])
        with pytest.raises(ValueError, match="torn.pt: "):
            read_torch(tmp_path / "torn.pt")
    hostile = data.replace(b"torch._utils\n_rebuild_tensor_v2", b"os\nsystem")
    assert hostile != data
    (tmp_path / "hostile.pt").write_bytes(hostile)
    with pytest.raises(ValueError, match="hostile.pt: refused to build os.system"):
        read_torch(tmp_path / "hostile.pt")


def test_files_of_another_kind(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ValueError, match="text.pt: this is no file of torch.save"):
        read_torch(tmp_path / "text.pt")
    with pytest.raises(ValueError, match="absent.pt: there is no such file"):
        read_torch(tmp_path / "absent.pt")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"other.pt: expected one data.pkl"):
        read_torch(tmp_path / "other.pt")
    (tmp_path / "a.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"a.safetensors: "):
        read_torch(tmp_path / "a.safetensors")
