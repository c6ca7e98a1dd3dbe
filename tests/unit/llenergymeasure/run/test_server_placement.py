"""The place of a server, its meter, and the devices that it is found on."""

import inspect
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from launched import wait_until

from llenergymeasure.api import run_experiment
from llenergymeasure.backends.openai.server.server import Server, is_here, listeners
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.energy.sources import SOURCES, find_sources
from llenergymeasure.process_tree import CpuSpent
from llenergymeasure.run.server_placement import ServerPlacement
from standins import streaming_server
from standins.streaming_server import StreamingServer

pytestmark = pytest.mark.usefixtures("small_heap")

ALWAYS = (0.0, 1e9)
ELSEWHERE = 2**22  # from here on are numbers that no process has: those of another namespace
FACTS = ModelFacts("server", "http://a", None, None, (), None, None)
LOADED_BYTES = 2_000_000_000
NOT_STARTED = (
    "the server was not started here, so not all of its processes are known, nor is their CPU time; have it started "
    "with launch for an estimate"
)

BURNS = """
import os, runpy, sys, time
parent = os.getpid()
if "burn" in sys.argv and os.fork() == 0:
    while os.getppid() == parent:
        until_s = time.monotonic() + 0.1
        while time.monotonic() < until_s:
            pass
    os._exit(0)
sys.argv = sys.argv[1:3]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


BUSY = """
import time
while True:  # for a fifth of the time: much more than what the test allows a server that is idle
    until_s = time.monotonic() + 0.01
    while time.monotonic() < until_s:
        pass
    time.sleep(0.04)
"""


class SomeServer:
    """A server whose processes are known without one."""

    def __init__(self, pids=frozenset(), *, launched=False):
        self.is_launched = launched
        self._pids = pids if pids is None else frozenset(pids)

    def pids(self):
        return self._pids

    def cpu_spent(self):
        return CpuSpent(0.0, 1)


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def site(tmp_path):
    """The site of a server, on a machine without RAPL."""

    def site(server, host="127.0.0.1", **fields):
        config = {"model": "m", "backend": "openai", "openai": {"base_url": f"http://{host}:8000/v1"}, **fields}
        if server.is_launched:
            config["launch"] = ["serve"]
        return ServerPlacement(
            ExperimentConfig.model_validate(config), server, find_sources(powercap=tmp_path / "none")
        )

    return site


def boards(gpus, *processes, **further):
    """Install a board for each list of processes; GPU-1, GPU-2, …"""
    gpus(
        *(
            gpus.board(uuid=f"GPU-{number}", processes=[[*ALWAYS, pid] for pid in pids], **further)
            for number, pids in enumerate(processes, 1)
        )
    )


@pytest.fixture
def stranger():
    """A process that is none of ours, and its child: their numbers."""
    forks = "import os, time; child = os.fork(); child and print(os.getpid(), child, flush=True); time.sleep(600)"
    command = f"{sys.executable} -S -c '{forks}' &"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True) as starter:
        parent, child = (psutil.Process(int(pid)) for pid in starter.stdout.readline().split())
        starter.wait()
        yield parent.pid, child.pid
        child.kill()
        parent.kill()


# What meters it


def test_no_source_meters_a_server_on_another_machine_and_each_has_the_reason(site, gpus):
    boards(gpus, [ELSEWHERE])
    there = site(SomeServer(), "192.0.2.7")
    choice, facts = there.choose_meter(UserConfig()), there.placed(FACTS)
    assert choice.meter.source == "none"
    reason = "the server is on another machine (192.0.2.7): nothing here can meter it"
    assert choice.not_used == {name: reason for name in SOURCES if name != "none"}
    assert (facts.device, facts.device_uuids, facts.unmetered) == ("remote", (), reason)
    assert facts.effective == {"device": "remote"}
    assert there.why_not_bare() is not None


@pytest.mark.parametrize("source", ["auto", "estimate"])
def test_the_cpu_time_of_a_server_that_ran_before_is_not_estimated(site, source):
    here = site(SomeServer({os.getpid()}), energy={"source": source})
    choice, facts = here.choose_meter(UserConfig()), here.placed(FACTS)
    assert choice.meter.source == "none"
    assert choice.not_used["estimate"] == NOT_STARTED
    assert (facts.device, facts.unmetered) == ("cpu", NOT_STARTED)
    assert here.why_not_bare() == "no baseline without the model: the server ran before"


def test_a_gpu_is_metered_whoever_started_the_server(site, gpus):
    boards(gpus, [os.getpid()])
    for launched in (False, True):
        choice = site(SomeServer({os.getpid()}, launched=launched)).choose_meter(UserConfig())
        assert choice.meter.source == "nvml_counter"
        assert ("estimate" in choice.not_used) == (not launched)


def test_a_machine_is_bare_before_a_server_is_launched(site):
    assert site(SomeServer(launched=True)).why_not_bare() is None


def spent_j(tmp_path, burns):
    """The estimate of a launched server's energy, and how long it is of, while a process of ours is busy too."""
    script = tmp_path / "serve.py"
    script.write_text(BURNS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serving = [sys.executable, str(script), inspect.getfile(streaming_server), "{port}", *["burn"] * burns]
    with subprocess.Popen([sys.executable, "-S", "-c", BUSY]) as busy:
        try:
            result = run_experiment(
                model="m",
                backend="openai",
                openai={"base_url": f"http://127.0.0.1:{port}/v1"},
                launch=serving,
                energy={"source": "estimate"},
                num_prompts=2,
                warmup={"iterations": 0},
                passthrough_kwargs={"standin": {"ttft_s": 0.5, "tokens": 2}},
            )
        finally:
            busy.kill()
    assert result.energy_source == "estimate"
    return result.total_energy_j, result.total_inference_time_sec


def test_an_estimate_is_of_the_launched_servers_processes_alone(tmp_path):
    idle_j, _ = spent_j(tmp_path, burns=False)
    busy_j, busy_s = spent_j(tmp_path, burns=True)
    assert idle_j < 0.25
    assert 0.5 < busy_j < 1.5 * 10.0 * busy_s  # of a core, as far as the machine has one left


# On which devices it is


@pytest.mark.parametrize("launched", [True, False])
def test_a_server_is_on_the_boards_that_have_its_processes(site, gpus, launched):
    boards(gpus, [os.getppid()], [os.getpid()], [7, os.getpid()], [])
    facts = site(SomeServer({os.getpid()}, launched=launched)).placed(FACTS)
    assert (facts.device, facts.device_uuids, facts.unmetered) == ("cuda", ("GPU-2", "GPU-3"), None)
    assert facts.effective == {"device": "cuda"}


def test_a_server_on_several_gpus_has_the_energy_of_those_it_is_on(gpus):
    with StreamingServer() as server:
        used = [[*ALWAYS, server.pid]]
        gpus(
            gpus.board(100.0, uuid="GPU-1", processes=used),
            gpus.board(900.0, uuid="GPU-2"),
            gpus.board(300.0, uuid="GPU-3", processes=used),
        )
        result = run_experiment(
            model="m",
            backend="openai",
            openai={"base_url": server.url},
            num_prompts=2,
            warmup={"iterations": 0},
            baseline={"enabled": False},
            passthrough_kwargs={"standin": {"ttft_s": 0.4, "tokens": 2}},
        )
    several, lasted_s = result.multi_gpu, result.total_inference_time_sec
    assert result.total_energy_j == pytest.approx(400.0 * lasted_s, rel=0.25)
    assert several.gpu_uuids == ["GPU-1", "GPU-3"]
    assert several.energy_per_gpu_j == pytest.approx([100.0 * lasted_s, 300.0 * lasted_s], rel=0.25)
    assert several.energy_total_j == result.total_energy_j == sum(several.energy_per_gpu_j)
    assert result.process_results[0].gpu_id is None
    assert not [reason for reason in result.verdict_reasons if "process" in reason]


def test_a_launched_server_of_other_numbers_is_on_the_boards_whose_memory_it_has_filled(site, gpus):
    board = gpus.board
    later = [[0.3, 1e9, ELSEWHERE]]
    gpus(
        board(uuid="GPU-1", processes=[[*ALWAYS, ELSEWHERE + 1]], memory=[[*ALWAYS, LOADED_BYTES]]),
        board(uuid="GPU-2", processes=later, memory=[[0.3, 1e9, LOADED_BYTES]]),
        board(uuid="GPU-3", memory=[[0.3, 1e9, 2_000_000]]),
    )
    began = site(SomeServer({os.getpid()}, launched=True))
    time.sleep(max(gpus.began_s + 0.35 - time.monotonic(), 0.0))
    assert began.placed(FACTS).device_uuids == ("GPU-2",)


def test_a_server_that_ran_before_with_other_numbers_is_on_the_boards_of_processes_that_nobody_here_has(site, gpus):
    boards(gpus, [os.getppid()], [ELSEWHERE])
    facts = site(SomeServer({os.getpid()})).placed(FACTS)
    assert (facts.device_uuids, facts.unmetered) == (("GPU-2",), None)
    assert "the one GPU that has any, GPU-2, is taken to be its" in facts.remarks[0]
    boards(gpus, [ELSEWHERE + 1], [ELSEWHERE])
    assert "several GPUs have some" in site(SomeServer({os.getpid()})).placed(FACTS).unmetered


def test_a_server_whose_processes_are_unknown_is_on_the_boards_that_have_any(site, gpus, monkeypatch):
    boards(gpus, [], [os.getppid()], [ELSEWHERE])
    facts = site(SomeServer(None)).placed(FACTS)
    assert facts.device_uuids == ("GPU-2", "GPU-3")
    assert "several GPUs have some; name its GPUs in CUDA_VISIBLE_DEVICES" in facts.unmetered
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-2,GPU-3")
    assert site(SomeServer(None)).placed(FACTS).unmetered is None


@pytest.mark.parametrize("launched", [True, False])
def test_a_server_that_is_on_no_board_is_on_the_cpu(site, gpus, launched):
    boards(gpus, [os.getppid()], [])
    facts = site(SomeServer({os.getpid()}, launched=launched)).placed(FACTS)
    assert (facts.device, facts.device_uuids) == ("cpu", ())
    assert facts.unmetered == (None if launched else NOT_STARTED)


def test_a_device_that_is_named_is_believed(site, gpus):
    boards(gpus, [os.getpid()], [])
    assert site(SomeServer({os.getpid()}), device="cpu").placed(FACTS).device == "cpu"
    assert site(SomeServer({os.getpid()}), device="cuda").placed(FACTS).device_uuids == ("GPU-1",)
    hidden = site(SomeServer({ELSEWHERE + 7}), device="cuda").placed(FACTS)
    assert (hidden.device, hidden.device_uuids) == ("cuda", ("GPU-1", "GPU-2"))


# Whose processes are on them


def foreign(site):
    """Return the foreign processes that a meter finds on each board after a while."""
    meter = site.choose_meter(UserConfig()).meter
    with meter:
        start_s = time.monotonic()
        time.sleep(0.1)
        watches = meter.watch(start_s, time.monotonic())
    return {watch.device: list(watch.foreign_processes) for watch in watches}


def test_processes_of_a_server_that_ran_before_are_not_foreign_and_others_are(site, gpus, stranger):
    parent, child = stranger
    boards(gpus, [parent], [child], [os.getppid()])
    found = foreign(site(SomeServer({parent})))
    assert (found["GPU-1"], found["GPU-2"]) == ([], [])
    (other,) = found["GPU-3"]
    assert f"(process {os.getppid()})" in other


def test_the_first_processes_seen_are_taken_for_a_server_whose_processes_are_unknown(site, gpus, stranger):
    gpus(gpus.board(processes=[[*ALWAYS, stranger[0]], [*ALWAYS, ELSEWHERE], [0.9, 1e9, os.getppid()]]))
    meter = site(SomeServer(None)).choose_meter(UserConfig()).meter
    with meter:
        start_s = time.monotonic()
        wait_until(lambda: any(watch.foreign_processes for watch in meter.watch(start_s, time.monotonic())))
        (watch,) = meter.watch(start_s, time.monotonic())
    (other,) = watch.foreign_processes
    assert f"(process {os.getppid()})" in other


def test_a_server_of_other_numbers_is_not_foreign_where_it_was_found(site, gpus):
    boards(gpus, [os.getppid()], [ELSEWHERE])
    found = foreign(site(SomeServer({os.getpid()})))
    assert found["GPU-2"] == []
    assert len(found["GPU-1"]) == 1


def test_a_process_of_other_numbers_beside_a_server_that_was_found_is_foreign(site, gpus, stranger):
    boards(gpus, [stranger[0], ELSEWHERE])
    assert foreign(site(SomeServer({stranger[0]}))) == {"GPU-1": [f"process {ELSEWHERE}"]}


# Its processes, and whether it is here


def attached(host):
    """A server that runs already, at a host and port."""
    fields = {"model": "m", "backend": "openai", "openai": {"base_url": f"http://{host}/v1"}}
    return Server(ExperimentConfig.model_validate(fields), Path("log"), lambda: "")


def test_an_attached_server_has_the_processes_of_its_port_and_one_elsewhere_has_none_here():
    with StreamingServer() as server:
        port = int(server.root.rpartition(":")[2])
        assert attached(f"localhost:{port}").pids() == {server.pid}
        assert attached(f"192.0.2.7:{port}").pids() == frozenset()


def test_the_processes_that_listen_on_a_port_are_found_with_their_children():
    with StreamingServer() as server, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = int(server.root.rpartition(":")[2])
        assert listeners(port) == {server.pid}
        assert listeners(silent.getsockname()[1]) is None


def test_a_process_that_a_listening_one_has_started_is_one_of_the_servers(tmp_path):
    script = tmp_path / "serve.py"
    script.write_text(BURNS)
    command = [sys.executable, str(script), inspect.getfile(streaming_server), "0", "burn"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        children = psutil.Process(process.pid).children()
        found = listeners(port)
        for each in (process, *children):
            each.kill()
    assert len(children) == 1
    assert found == {process.pid, children[0].pid}


def test_processes_behind_a_containers_port_are_unknown(tmp_path):
    forwards = tmp_path / "docker-proxy"
    forwards.symlink_to(os.path.realpath(sys.executable))
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen(
        [str(forwards), "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        found = listeners(int(process.stdout.readline()))
        process.communicate("\n")
    assert found is None


OWN = ["127.0.0.1", "127.8.8.8", "localhost", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"]  # noqa: S104 - none binds


@pytest.mark.parametrize("host", OWN)
def test_a_server_at_this_machines_own_addresses_is_here(host):
    assert is_here(host)


def test_a_server_at_an_address_of_a_network_card_is_here():
    own = [each.address for card in psutil.net_if_addrs().values() for each in card if each.family == socket.AF_INET]
    assert [address for address in own if not is_here(address)] == []


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::1", "no-such-host.invalid"])
def test_a_server_elsewhere_and_one_whose_name_is_not_known_are_not_here(host):
    assert not is_here(host)
