"""A post-renderer for helm: standard input to standard output, with images, hosts and programs of a JSON file."""

import json
import sys
from pathlib import Path

import yaml

from sandbox.components.workloads.image_names import renamed
from sandbox.components.workloads.moved_hosts import HostNames
from sandbox.components.workloads.restart import Program, supervised
from sandbox.config import yaml_text


def main() -> None:
    changes = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    images, fields, hosts = changes["images"], changes["fields"], HostNames(**changes["hosts"])
    programs = {image: Program(**program) for image, program in changes["programs"].items()}
    for content in yaml_text.documents(sys.stdin.read()):
        if isinstance(content, dict):
            is_object = isinstance(content.get("kind"), str)
            made = hosts.written(supervised(renamed(content, images, fields), programs)) if is_object else content
            sys.stdout.write("---\n" + yaml_text.dump(made).decode())


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, yaml.YAMLError) as error:
        sys.exit(str(error))
