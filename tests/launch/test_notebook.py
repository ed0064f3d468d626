"""The Colab notebook runs from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "experiments" / "quickstart" / "quickstart.ipynb"


@pytest.mark.slow
def test_it_trains_and_shows_samples(tmp_path, monkeypatch):
    monkeypatch.setenv("VGM_NOTEBOOK_STEPS", "2")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises where a cell does
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    shown = [output.data for output in outputs if "data" in output]
    for kind in ("image/gif", "image/png"):
        assert [data for data in shown if kind in data], f"no {kind} among the outputs"
    assert any("<video" in data.get("text/html", "") for data in shown)
    assert any("(8, 32, 32, 32, 3)" in data.get("text/plain", "") for data in shown)


def test_it_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(
        cell.outputs or cell.execution_count for cell in notebook.cells if cell.cell_type == "code"
    )
