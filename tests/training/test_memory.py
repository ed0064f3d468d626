import os
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
print("start", os.getpid())
from vgm_jax.training.memory import use_huge_pages
sys.stdout.flush()
use_huge_pages()
print(os.environ["GLIBC_TUNABLES"], sys.argv[1:])
"""


def run(**variables):
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"} | variables
    command = [sys.executable, "-c", SCRIPT, "--a b", "c"]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return out.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_a_process_starts_anew_once_with_its_arguments():
    first, second, last = run()
    assert first == second, "the same process, so that signals and exit status are its own"
    assert last.startswith("glibc.malloc.hugetlb=1:") and last.endswith(" ['--a b', 'c']")


def test_a_users_own_setting_stays():
    assert run(GLIBC_TUNABLES="glibc.malloc.check=0")[1:] == ["glibc.malloc.check=0 ['--a b', 'c']"]


def test_a_program_that_another_one_runs_does_not_replace_it():
    code = "import os, runpy, sys\nsys.argv = ['x', '--help']\n"
    code += "try: runpy.run_module('vgm_jax.main', run_name='__main__')\n"
    code += "except SystemExit: print(os.environ.get('GLIBC_TUNABLES'))"
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", code, "vgm_jax.mine"]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout
    assert out.rstrip().endswith("None")
