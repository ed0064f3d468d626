import hashlib
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.pretrained import i3d, load_network

ROOT = Path(__file__).parents[3]
STORED = Path(__file__).with_name("i3d_reference.npz")  # by the script below, in PyTorch
REFERENCE = runpy.run_path(str(ROOT / "experiments" / "pretrained_weights" / "i3d_reference.py"))


@pytest.fixture(scope="module")
def arrays():
    return REFERENCE["random_state_dict"]()


@pytest.fixture(scope="module")
def network(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("i3d") / "weights.npz"
    np.savez(path, **arrays)
    network = load_network(f"i3d:{path}")
    assert network.weights == hashlib.sha256(path.read_bytes()).hexdigest()
    return network


@pytest.mark.parametrize("name", REFERENCE["CLIPS"])
def test_pytorch_gives_the_same(network, name):
    """An implementation of its own, on random weights: experiments/pretrained_weights/i3d_reference.py."""
    found = np.asarray(jax.jit(network.embed)(network.params, REFERENCE["clip"](name)))
    assert found.shape == (1, 1, 400) and found.dtype == np.float32
    with np.load(STORED) as stored:
        expected = stored[name]
        others = [np.abs(stored[other] - expected).max() for other in stored if other != name]
    error = np.abs(found[:, 0] - expected).max()
    assert error < 1e-5 * np.abs(expected).max()
    assert error < 1e-4 * min(others), "and nearer than the clips are to each other"


def test_what_it_says_of_itself(network):
    assert (network.name, network.min_frames) == ("i3d", 9)
    assert sum(leaf.size for leaf in jax.tree.leaves(network.params)) == 12_689_984
    for t in (9, 33):
        found = jax.eval_shape(network.embed, network.params, jnp.zeros((2, t, 8, 8, 3)))
        assert found.shape == (2, 1, 400)


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (3, 1), (3, 2), (7, 2), (2, 2)])
def test_convolution_and_pool_are_those_of_xla(window, stride):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 8, 7, 3)).astype(np.float32)
    kernel = rng.normal(size=(window, window, window, 3, 4)).astype(np.float32)
    numbers = ("NDHWC", "DHWIO", "NDHWC")
    expected = jax.lax.conv_general_dilated(x, kernel, [stride] * 3, "SAME", dimension_numbers=numbers)
    found = jax.jit(i3d.convolve, static_argnums=2)(x, kernel, stride)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    x, sizes, strides = np.abs(x), (1, window, window, window, 1), (1, stride, stride, stride, 1)
    expected = jax.lax.reduce_window(x, -np.inf, jax.lax.max, sizes, strides, "SAME")
    found = jax.jit(i3d.max_pool, static_argnums=(1, 2))(x, sizes[1:4], strides[1:4])
    np.testing.assert_array_equal(found, expected)


OTHER_NAMES = {
    "logits": "conv3d_0c_1x1",
    "Conv3d": "conv3d",
    "Mixed": "mixed",
    ".bn.": ".batch3d.",
    ".b0.": ".branch_0.",
    ".b1a.": ".branch_1.0.",
    ".b1b.": ".branch_1.1.",
    ".b2a.": ".branch_2.0.",
    ".b2b.": ".branch_2.1.",
    ".b3b.": ".branch_3.1.",
}


def renamed(name):
    for old, new in OTHER_NAMES.items():
        name = name.replace(old, new)
    return name


def test_both_layouts_give_the_same(arrays, network):
    counter = {"mixed_5c.branch_3.1.batch3d.num_batches_tracked": np.array(7)}
    for other in (
        {renamed(name): array for name, array in arrays.items()} | counter,
        {f"module.{name}": array for name, array in arrays.items()},
    ):
        jax.tree.map(np.testing.assert_array_equal, i3d.from_torch(other), network.params)


def test_wrong_weights(arrays):
    few = {name: array for name, array in arrays.items() if not name.startswith("Mixed_5c.b")}
    with pytest.raises(
        ValueError,
        match="of pytorch_i3d, but missing: Mixed_5c.b0.conv3d.weight, Mixed_5c.b0.bn.weight, "
        "Mixed_5c.b0.bn.bias and 27 more; left over: extra$",
    ):
        i3d.from_torch(few | {"extra": np.zeros(1)})
    fewer_classes = {
        "logits.conv3d.bias": np.zeros(101),
        "logits.conv3d.weight": np.zeros((101, 1024, 1, 1, 1)),
    }
    with pytest.raises(
        ValueError,
        match=r"of another shape: logits.conv3d.weight \(101, 1024, 1, 1, 1\), not \(400, 1024, 1, 1, 1\)",
    ):
        i3d.from_torch(arrays | fewer_classes)
    with pytest.raises(ValueError, match="no weights of I3D: expected .* found conv1.weight, fc.bias$"):
        i3d.from_torch({"conv1.weight": np.zeros(3), "fc.bias": np.zeros(3)})


def test_names_with_files(tmp_path):
    for name in ("i3d", "i3d:"):
        with pytest.raises(ValueError, match='are not shipped; name a file .* "i3d:/path/to/weights.pt"'):
            load_network(name)
    with pytest.raises(ValueError, match="'random' has its weights and takes no file, got .a.pt"):
        load_network("random:a.pt")
    with pytest.raises(ValueError, match="'i3' .*is unknown; choose one of random, .*i3d"):
        load_network("i3:a.pt")
    with pytest.raises(ValueError, match="absent.pt: there is no such file"):
        load_network(f"i3d:{tmp_path / 'absent.pt'}")
    np.savez(tmp_path / "other.npz", a=np.zeros(1))
    with pytest.raises(ValueError, match="other.npz: no weights of I3D: .* found a$"):
        load_network(f"i3d:{tmp_path / 'other.npz'}")
