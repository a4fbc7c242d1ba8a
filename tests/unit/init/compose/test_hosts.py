"""Programs of a compose file reach each other at ports that no key names, by Services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.init.detected import App
from sandbox.init.kubernetes_objects import manifest
from tests.support.project_folder import load, services


def spec(app: App, kind: str) -> dict[str, Any]:
    objects = yaml.safe_load_all(manifest(app, image="x", host=None))
    found: dict[str, Any] = next(one for one in objects if one["kind"] == kind)["spec"]
    return found


def test_port_that_others_name_is_one_of_the_service(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("proxy_pass http://api:8000;\n")
    found = services(
        tmp_path,
        """\
  web: {image: 'nginx:1', ports: ['80:80'], volumes: ['./nginx.conf:/etc/nginx/nginx.conf:ro']}
  api: {image: api, environment: {DB: 'postgres://db:99@db:5433/x', QUEUES: 'a-queue:1,queue:5555', TAG: 'queue:12-a'}}
  db: {image: 'postgres:17'}
  queue: {image: queue, ports: ['80:80'], command: 'listen queue:70000', networks: {default: {aliases: [jobs]}}}
  job: {image: job, command: [--to, 'jobs:5556', '--or=jobs:80', 'servers=web:2888:3888;no']}
""",
    )
    assert {name: app.more_ports for name, app in found.items()} == {
        "web": ((2888, "tcp"), (3888, "tcp")),
        "api": ((8000, "tcp"),),
        "db": ((5433, "tcp"),),
        "queue": ((5555, "tcp"), (5556, "tcp")),
        "job": (),
    }
    assert spec(found["db"], "Service")["ports"] == [
        {"name": "main", "port": 5432},
        {"name": "tcp-5433", "port": 5433, "protocol": "TCP"},
    ]


def test_name_of_a_program_without_ports_leads_to_its_pods(tmp_path: Path) -> None:
    found = services(
        tmp_path, "  api: {image: api}\n  web: {image: web, environment: {API_HOST: api, API_PORT: '8000'}}\n"
    )
    assert spec(found["api"], "Service") == {"selector": {"app": "api"}, "clusterIP": "None"}


def test_program_that_names_itself_knows_its_address(tmp_path: Path) -> None:
    """A check of its own Service would never succeed: that has no pod until the check has."""
    found = services(
        tmp_path,
        """\
  web: {image: web, healthcheck: {test: [CMD, curl, 'http://web:3000/']}}
  kafka: {image: kafka, environment: {VOTERS: '1@kafka:9093'}, hostname: broker}
  many: {image: many, environment: {SELF: 'many:1000'}, scale: 3}
  other: {image: other, environment: {KAFKA: 'kafka:9092'}}
""",
    )
    hosts = {name: spec(app, "Deployment")["template"]["spec"].get("hostname") for name, app in found.items()}
    assert hosts == {"web": "web", "kafka": "broker", "many": None, "other": None}


@pytest.mark.parametrize(
    ("text", "peers"),
    [
        (
            """\
  a: {image: x, ports: [1], environment: {SEED_HOSTS: 'b,c'}}
  b: {image: x, ports: [1], command: [--seed-hosts, 'a,c']}
  c: {image: x, ports: [1], command: [--join=a]}
  other: {image: x, ports: [1], environment: {URL: 'http://a:80'}}
""",
            {"a", "b", "c"},
        ),
        (
            """\
  a: {build: ., ports: [1], environment: {URL: 'http://b/'}}
  b: {build: ., ports: [1], environment: {URL: 'http://c'}}
  c: {build: ., ports: [1], healthcheck: {test: curl http://a/}}
""",
            {"a", "b", "c"},
        ),
        (
            """\
  a: {image: x, ports: [1], environment: {URL: 'http://b/'}, depends_on: {b: {condition: service_healthy}}}
  b: {image: x, ports: [1], environment: {BACK: 'http://a/'}}
""",
            set(),
        ),
        ("  a: {image: x, ports: [1], environment: {TITLE: b}}\n  b: {image: x, command: [a, b]}\n", set()),
        ("  a: {image: x, environment: {B: 'http://b:1'}}\n  b: {image: y, environment: {A: 'http://a:1'}}\n", set()),
        (
            """\
  a: {image: x, healthcheck: {test: is-set-up}, ports: [1]}
  b: {image: x, healthcheck: {test: is-set-up}, ports: [1]}
  c: {image: x, ports: [1]}
  job: {image: x, restart: "no", command: [--host, a, --host, b, --host, c], depends_on: {b: *healthy}}
""".replace("*healthy", "{condition: service_healthy}"),
            {"a"},
        ),
        ("  many: {image: a, scale: 3, ports: [1], environment: {SELF: 'many:1000'}}\n", {"many"}),
    ],
)
def test_peers_reach_each_other_before_they_are_ready(tmp_path: Path, text: str, peers: set[str]) -> None:
    """A Service has no pods that are not ready: programs that wait for each other would do so for ever."""
    found = services(tmp_path, text)
    found.pop("job", None)
    assert {name for name, app in found.items() if "publishNotReadyAddresses" in spec(app, "Service")} == peers


def test_other_names_of_a_container_are_services(tmp_path: Path) -> None:
    found = services(
        tmp_path,
        """\
  es: {image: 'elasticsearch:8', container_name: elastic, hostname: search}
  db: {image: 'mysql:8', container_name: my_db, hostname: db.example}
  web: {image: web, container_name: db, links: ['db:database', es, 'db:es']}
""",
    )
    assert {name: app.aliases for name, app in found.items()} == {
        "es": ("elastic", "search"),
        "db": ("database",),
        "web": (),
    }
    assert found["web"].left_out == ()


@pytest.mark.parametrize(
    ("key", "value", "there"),
    [
        ("URL", "pg://my_db:pw@my_db:5432/my_db", "pg://my_db:pw@my-db:5432/my_db"),
        ("URL", "http://my_db", "http://my-db"),
        ("VOTERS", "1@my_db:9093,2@other:9093", "1@my-db:9093,2@other:9093"),
        ("CONTAINER_URL", "http://the_db/", "http://my-db/"),
        ("DISCOVERY_SEED_HOSTS", "my_db,my_db_2", "my-db,my_db_2"),
        ("DB_NAME", "my_db", "my_db"),
        ("IMAGE", "my_db:15-alpine", "my_db:15-alpine"),
    ],
)
def test_name_that_no_service_can_have_is_changed(tmp_path: Path, key: str, value: str, there: str) -> None:
    """Where it means a host; users, databases and images keep it."""
    found = services(
        tmp_path,
        f"  my_db: {{image: db, container_name: the_db}}\n  web: {{image: web, environment: {{{key}: '{value}'}}}}\n",
    )
    assert found["web"].environment == {key: there}


def test_files_with_a_name_that_is_another_are_told(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("proxy_pass http://the_api:8000;\n")
    volumes = "volumes: ['./nginx.conf:/etc/nginx/nginx.conf']"
    services = (
        f"{{api: {{image: api, container_name: the_api}}, web: {{image: web, command: run the_api:80, {volumes}}}}}"
    )
    (tmp_path / "compose.yaml").write_text(f"services: {services}\n")
    (_, web), notes = load(tmp_path / "compose.yaml")
    assert web.args == ("run", "api:80")
    assert notes == ["the_api is called api in the cluster: change what calls it (/etc/nginx/nginx.conf of web)"]


def test_name_that_only_containers_know_is_told(tmp_path: Path) -> None:
    """docker/genai-stack calls a program of the machine so by default."""
    path = tmp_path / "compose.yaml"
    path.write_text(
        "services: {bot: {image: x, environment: {URL: 'http://host.docker.internal:1'}}, db: {image: postgres}}"
    )
    (said,) = load(path)[1]
    assert said.startswith("pods do not know host.docker.internal, which is in settings of bot: `network: {hosts: {")


def test_port_of_the_machine_that_settings_name_is_told(tmp_path: Path) -> None:
    """Penpot says its own address so: a browser finds it at a host here; what only the container calls is right."""
    path = tmp_path / "compose.yaml"
    path.write_text("""\
services:
  web: {image: web, ports: ['127.0.0.1:9001:8080'], environment: {URI: 'http://localhost:9001/x'}}
  api: {image: api, ports: [{target: 80, published: '9002'}], environment: [CORS=http://127.0.0.1:9001, DB=localhost:1]}
  own: {image: own, ports: ['9003:9003'], environment: {CHECK: 'localhost:9003'}}
""")
    assert load(path)[1] == ["localhost:9001 is in settings of web, api: here web has a host of its own"]
