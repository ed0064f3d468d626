"""The JobSets hold to the schema of their CRD, and their numbers and names agree with each other."""

import json
import math
from pathlib import Path

import jsonschema
import pytest
import yaml

LAUNCH = Path(__file__).parents[2] / "configs" / "launch"
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parent / "jobset_schema.json").read_text())
)


def read(name: str) -> tuple[dict, dict]:
    claim, jobset = yaml.safe_load_all((LAUNCH / name).read_text())
    assert (claim["kind"], jobset["kind"]) == ("PersistentVolumeClaim", "JobSet")
    return claim, jobset


def parts(jobset: dict) -> tuple[dict, dict, dict]:
    """The one replicated job, its pods' spec, their one container."""
    (job,) = jobset["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return job, pod, container


@pytest.fixture(params=["jobset_gpu.yaml", "jobset_tpu.yaml"])
def documents(request):
    return read(request.param)


def test_schema(documents):
    errors = [f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(documents[1])]
    assert not errors, "\n".join(errors)


def test_schema_refuses_a_misspelt_field(documents):
    job, pod, container = parts(documents[1])
    for place in (documents[1]["spec"], job, job["template"]["spec"], pod, container):
        place["paralelism"] = 2
        assert not SCHEMA.is_valid(documents[1])
        del place["paralelism"]
    container["resources"]["limits"]["memory"] = "much"
    assert not SCHEMA.is_valid(documents[1])


def test_all_hosts_start_and_restart_together(documents):
    job, pod, _ = parts(documents[1])
    spec = job["template"]["spec"]
    assert spec["parallelism"] == spec["completions"] > 1
    assert spec["completionMode"] == "Indexed"
    assert job["replicas"] == 1 and spec["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"
    assert documents[1]["spec"]["failurePolicy"]["maxRestarts"] > 0
    assert pod["terminationGracePeriodSeconds"] > 30


def test_the_run_outlives_its_pods(documents):
    """The workdir and the cache are on the claimed volume, which all pods may write."""
    claim, jobset = documents
    _, pod, container = parts(jobset)
    (name,) = (
        v["name"]
        for v in pod["volumes"]
        if v.get("persistentVolumeClaim", {}).get("claimName") == claim["metadata"]["name"]
    )
    (mount,) = (m["mountPath"] for m in container["volumeMounts"] if m["name"] == name)
    workdir = container["args"][container["args"].index("--workdir") + 1]
    assert workdir.startswith(f"{mount}/")
    assert environment(container)["JAX_COMPILATION_CACHE_DIR"]["value"].startswith(f"{mount}/")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


def test_command(documents):
    """Nothing stands between Kubernetes and Python: SIGTERM reaches it."""
    container = parts(documents[1])[2]
    assert container["command"] == ["python", "-m", "vgm_jax.main"]
    config = container["args"][container["args"].index("--config") + 1]
    assert (LAUNCH.parents[1] / config).exists()
    assert container["image"].startswith("YOUR_REGISTRY/")


def environment(container: dict) -> dict[str, dict]:
    return {entry["name"]: entry for entry in container["env"]}


def test_gpu_processes_find_each_other():
    jobset = read("jobset_gpu.yaml")[1]
    job, _, container = parts(jobset)
    env = environment(container)
    host, port = env["JAX_COORDINATOR_ADDRESS"]["value"].split(":")
    name, network = jobset["metadata"]["name"], jobset["spec"]["network"]
    assert host == f"{name}-{job['name']}-0-0.{network['subdomain']}" and network["enableDNSHostnames"]
    assert [int(port)] == [p["containerPort"] for p in container["ports"]]
    assert env["JAX_NUM_PROCESSES"]["value"] == str(job["template"]["spec"]["parallelism"])
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert env["JAX_PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"] == index
    assert container["resources"]["limits"]["nvidia.com/gpu"] > 0


def test_tpu_pods_fill_the_slice():
    jobset = read("jobset_tpu.yaml")[1]
    job, pod, container = parts(jobset)
    chips = math.prod(map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")))
    assert (
        job["template"]["spec"]["parallelism"] * container["resources"]["limits"]["google.com/tpu"] == chips
    )
    assert "cloud.google.com/gke-tpu-accelerator" in pod["nodeSelector"]
    topology = jobset["metadata"]["annotations"]["alpha.jobset.sigs.k8s.io/exclusive-topology"]
    assert topology == "cloud.google.com/gke-nodepool"
    assert not any(name.startswith("JAX_") and "CACHE" not in name for name in environment(container))
