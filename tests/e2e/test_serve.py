"""The program serves a living fleet: to those who ask well, to those who do not, and until it is told to end."""

import json
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from node_sim.units import NS_PER_DAY
from tests.debian import program
from tests.living import fleet_of, living_run, pages_at, samples_of, serving
from tests.ports import free_port
from tests.processes import ended, start

LISTENS = "0A"
"""TCP_LISTEN of the kernel, as /proc/net/tcp shows it."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("serve") / "run"
    living_run(root, 12)
    return root


@pytest.fixture(scope="module")
def served(run):
    with serving(run, "--start", "first:panic", "--speed", "60") as found:
        yield found


def refused(*words, code=2):
    done = CliRunner().invoke(main, ["serve", *map(str, words)])
    assert isinstance(done.exception, SystemExit), done.exception
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def exchange(served, request, wait_s=20.0):
    """Send bytes and return all that is answered until the connection is closed."""
    with socket.create_connection(served.address, wait_s) as client:
        client.sendall(request)
        parts = []
        with suppress(ConnectionError):
            while part := client.recv(1 << 16):
                parts.append(part)
    return b"".join(parts)


# ---- what is answered --------------------------------------------------------------------------------------------


def test_every_page_is_linked_and_answers(served):
    status, text = served.get("/")
    assert status == 200
    links = re.findall(r'href="([^"]+)"', text)
    assert len(links) == 15
    assert {served.get(link)[0] for link in links} <= {200, 503}
    assert served.get("/-/healthy") == (200, "Healthy.\n")
    assert served.get("/nodes/12/metrics")[0] == served.get("/nodes")[0] == served.get("/%2e%2e/")[0] == 404


def test_a_sample_of_no_fleet_in_particular_is_of_a_thousand_nodes():
    with serving("--sample", "3") as served:
        targets = json.loads(served.get("/sd")[1])
    assert len(targets) == 3
    assert max(int(one["labels"]["instance"].removeprefix("sim-")) for one in targets) >= 10


def test_targets_carry_the_address_by_which_they_were_asked_for(served):
    host, port = served.address
    answer = exchange(served, b"GET /sd HTTP/1.1\r\nHost: box:1\r\nConnection: close\r\n\r\n").decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert "\r\nContent-Type: application/json\r\n" in f"{head}\r\n"
    assert {one["targets"][0] for one in json.loads(body)} == {"box:1"}
    for name in ("", 'b"x', "a" * 300, "<script>"):
        request = f"GET /sd HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
        body = exchange(served, request).decode().partition("\r\n\r\n")[2]
        assert json.loads(body)[0]["targets"] == [f"{host}:{port}"]


def test_simulated_time_passes(served):
    name = ("hwpoison_fleet_serve_simulated_timestamp_seconds", frozenset())
    clock_s, first = time.monotonic(), served.samples()[name]
    time.sleep(1)
    passed_s, simulated_s = time.monotonic() - clock_s, served.samples()[name] - first
    assert simulated_s == pytest.approx(60 * passed_s, abs=30)
    assert served.samples()["hwpoison_fleet_serve_speed", frozenset()] == 60


def promtool(text):
    words = [program("promtool"), "check", "metrics"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_metrics_are_as_promtool_wants_them(served):
    assert promtool(served.get("/metrics")[1]) == ""
    of_node_exporter = promtool(served.get("/nodes/5/metrics")[1]).splitlines()
    assert [line for line in of_node_exporter if not re.match(r"node_memory_\w+ .*camelCase", line)] == []
    assert promtool("wrong_total{x=} 1\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("POST / HTTP/1.1", 405), ("DELETE /sd HTTP/1.1", 405), ("OPTIONS * HTTP/1.1", 405), ("get / HTTP/1.1", 405),
        ("GET /x HTTP/1.1", 404), ("GET /metrics?a=b HTTP/1.0", 200), ("HEAD /metrics HTTP/1.1", 200),
        ("GET /", 400), ("GET / HTTP/2", 400), ("GET  / HTTP/1.1", 400), ("\x16\x03\x01\x02", 400), ("", 400),
        ("GET /\xff\x00 HTTP/1.1", 404), ("GET /nodes/" + "9" * 5000 + "/metrics HTTP/1.1", 404),
    ],
)  # fmt: skip
def test_a_request_is_answered_by_its_status(served, request_line, status):
    answer = exchange(served, f"{request_line}\r\nConnection: close\r\n\r\n".encode("latin-1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"\r\nAllow: GET, HEAD" in head) == (status == 405)
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    assert length > 0
    assert len(body) == (0 if request_line.startswith("HEAD") else length)


def test_a_connection_is_kept_and_answers_in_order(served):
    with socket.create_connection(served.address, 20) as client:
        client.sendall(b"GET /-/healthy HTTP/1.1\r\n\r\n" * 3 + b"GET /x HTTP/1.0\r\n\r\n")
        answer = b""
        while part := client.recv(1 << 16):
            answer += part
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"200", b"404"]


def test_a_body_ends_the_connection_and_is_no_second_request(served):
    answer = exchange(served, b"GET /-/healthy HTTP/1.1\r\nContent-Length: 30\r\n\r\nGET /x HTTP/1.1\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200"]


# ---- those who do not ask well ----------------------------------------------------------------------------------


def test_idle_connections_aborts_and_endless_lines_stop_nobody(run):
    with serving(run) as served, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(served.address, 20))
        for _ in range(50):
            with socket.create_connection(served.address, 20) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
                client.sendall(b"GET /sd HTTP/1.1\r\n\r\n")
        for line in (b"GET /" + b"a" * (1 << 20), b"GET / HTTP/1.1\r\nX: " + b"b" * (1 << 20), b"\r\n" * (1 << 19)):
            with suppress(ConnectionError):
                answer = exchange(served, line + b" HTTP/1.1\r\n\r\n")
                assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        with socket.create_connection(served.address, 20) as client:  # asks on and on, and never reads
            client.settimeout(0.2)
            with suppress(TimeoutError, ConnectionError):
                for _ in range(20_000):
                    client.sendall(b"GET /sd HTTP/1.1\r\n\r\n" * 20)
            started = time.monotonic()
            assert served.get("/sd")[0] == 200
            assert time.monotonic() - started < 5
        assert served.get("/metrics")[0] == 200
        assert served.stop() == (0, "")


def test_clients_that_take_no_answer_and_too_many_of_them_leave_no_descriptor_open(run):
    """With 40 descriptors for connections, of which none is taken for good."""
    limited = ("prlimit", "--nofile=104:104")
    with serving(run, "--start", "100d", within=limited) as served, ExitStack() as stack:
        opened = Path(f"/proc/{served.process.pid}/fd")
        before = len(list(opened.iterdir()))
        for n in range(300):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.settimeout(20)
            with suppress(ConnectionError):
                client.connect(served.address)
                client.sendall(b"GET / HTTP/1.1\r\n\r\n" * (4000 if n < 10 else 0))
        deadline = time.monotonic() + 60
        while len(list(opened.iterdir())) > before and time.monotonic() < deadline:
            time.sleep(0.2)
        assert len(list(opened.iterdir())) <= before
        assert served.get("/-/healthy")[0] == 200
        assert served.stop() == (0, "")


def test_many_at_once_are_answered(served):
    found = []
    threads = [threading.Thread(target=lambda: found.append(served.get("/nodes/3/metrics")[0])) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 60
    assert set(found) <= {200, 503}


# ---- beginning and end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_and_at_once(run, number):
    with serving(run) as served:
        with socket.create_connection(served.address):
            started = time.monotonic()
            assert served.stop(number) == (0, "")
            assert time.monotonic() - started < 2
        with pytest.raises(OSError):
            socket.create_connection(served.address, 2)


def test_it_listens_on_this_machine_only_unless_told(run, served):
    assert served.address[0] == "127.0.0.1"
    port = f"{served.address[1]:04X}"
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    assert [line[1][:8] for line in lines if line[1].endswith(f":{port}") and line[3] == LISTENS] == ["0100007F"]
    with serving(run, "--host", "0.0.0.0") as told:
        assert told.url.startswith("http://0.0.0.0:")
        assert told.get("/-/healthy")[0] == 200


def test_a_port_that_is_taken_is_refused(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refused(run, "--port", taken.getsockname()[1])
    assert re.match(
        r"error: --port \d+: Address already in use, expected a free port on 127.0.0.1; choose another", said
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--host", "nosuch.invalid"), "--host nosuch.invalid: Name or service not known"),
        (("--host", ""), "--host '': expected a name or address of this machine"),
        (("--host", "192.0.2.1"), "Cannot assign requested address"),
        (("--speed", "nan"), "--speed nan: expected more than 0"),
        (("--speed", "0"), "--speed 0: expected more than 0"),
        (("--speed", "inf"), "--speed inf: expected more than 0"),
        (("--start", "soon"), "--start 'soon': expected first:ue, first:panic, first:kill, days (12d) or a time"),
        (("--start", "400d"), "--start 400d: not within the run"),
        (("--nodes", "13"), "--nodes 13: there are 12 nodes"),
        (("--sample", "0"), "--sample: 0, expected a whole number of 1 or more"),
        (("--arm", "x"), "arm 'x', expected one of default, other"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(run, words, says):
    assert says in refused(run, "--port", "0", *words)


def test_a_folder_that_is_no_run_and_a_scenario_that_is_none_are_refused(run, tmp_path):
    refused(tmp_path, "--port", "0", code=4)
    assert "nosuch" in refused("nosuch", "--port", "0")
    (run / "run.json").rename(run / "kept")
    try:
        refused(run, "--port", "0", code=4)
    finally:
        (run / "kept").rename(run / "run.json")


def test_the_default_fleet_is_too_large_to_be_served_unasked():
    assert "10,000 nodes, expected at most 5,000 targets" in refused("baseline", "--port", "0")


def test_a_scenario_is_simulated_first_and_nothing_is_left(tmp_path):
    process = start("serve", "--nodes", "30", "--port", free_port(), "--speed", "86400", TMPDIR=str(tmp_path))
    line = process.stdout.readline()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\n", line)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert (
        "notice: speed 86400: one minute of Prometheus is 60.0 days of the fleet, and so is [1m] in its rules" in said
    )
    assert list(tmp_path.iterdir()) == []
    assert ended(process.pid) == {}


def test_it_ends_with_the_run_if_told(run):
    process = start("serve", run, "--port", "0", "--speed", "1e9", "--end", "exit")
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_another_arm_shows_other_hosts(run):
    fleet = fleet_of(open_run(run), arm="default")
    totals = {"default": samples_of(pages_at(fleet, 365 * NS_PER_DAY).answer("/metrics", "").body)}
    with serving(run, "--arm", "other", "--start", "365d") as served:
        totals["other"] = served.samples()
    for arm, found in totals.items():
        assert found["hwpoison_fleet_serve_info", frozenset({("arm", arm)})] == 1
    panics = ("hwpoison_fleet_serve_panics_total", frozenset())
    assert totals["other"][panics] > totals["default"][panics]
