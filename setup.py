"""Packaging; the version is read from the package, without importing it."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "vgm_jax/version.py").read_text()).group(1)

setup(
    name="vgm_jax",
    version=VERSION,
    description="Video generative models and video understanding in JAX",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["vgm_jax", "vgm_jax.*"]),
    package_data={"vgm_jax.models.pretrained": ["weights/*"], "vgm_jax.inference.zoo": ["*/*", "*/*/*"]},
    install_requires=[
        "absl-py>=2.1,<3",
        "array-record>=0.8,<1",
        "av>=14,<19",
        "flatbuffers>=24,<26",  # jax.export writes with it
        "flax>=0.12,<0.13",
        "grain>=0.2.11,<0.3",
        "imageio>=2.36,<3",
        "jax>=0.8,<0.12",
        "ml-collections>=1.0,<2",
        "numpy>=2.0,<3",
        "optax>=0.2.5,<0.3",
        "orbax-checkpoint>=0.11.20,<0.13",
        "pillow>=11,<14",
        "rich>=13.9,<16",
        "safetensors>=0.5,<1",
        "tensorboardX>=2.6.2,<3",
        "tensorflow-datasets>=4.9.7,<5",
    ],
    extras_require={
        "cuda": ["jax[cuda12]"],
        "tpu": ["jax[tpu]"],
        "h5": ["h5py>=3.11,<4"],
        # Brings pillow < 13, protobuf < 7 and pyarrow < 26, so it is not among what the tests need.
        "beam": ["apache-beam>=2.77,<3"],
        "datasets": ["emoji>=2.14,<3"],
        "minilm": ["tokenizers>=0.20,<1"],
        "test": [
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            "hypothesis>=6,<7",
            "h5py>=3.11,<4",
            "scipy>=1.13,<2",
            "tokenizers>=0.20,<1",
            "ruff>=0.15,<0.18",
            "nbclient>=0.10,<1",
            "nbformat>=5.10,<6",
            "ipykernel>=6,<8",
            "jsonschema>=4,<5",
            "pyyaml>=6,<7",
            "tensorboard>=2.18,<3",
        ],
    },
    entry_points={"console_scripts": ["vgm = vgm_jax.cli:main"]},
)
