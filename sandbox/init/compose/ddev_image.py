"""The Dockerfile that stands for DDEV's web container: a PHP project with its server, to be built and changed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.init.project_folders import listed
from sandbox.system.files import is_file

NEWEST = "8.4"  # where the project leaves the version to DDEV
# What DDEV's container has and the official image of PHP has not.
EXTENSIONS = (
    *("apcu", "bcmath", "exif", "gd", "intl", "mysqli", "opcache", "pdo_mysql", "pdo_pgsql", "redis", "soap", "zip"),
)
# A Debian package with an extension, such as php8.3-tidy and php${DDEV_PHP_VERSION}-tidy.
_EXTENSION = re.compile(r"php[^-]*-([a-z0-9_]+)")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[0-9]+\.[0-9]+")
_FOLDER = re.compile(r"\w[\w./-]*")


def version(config: Mapping[str, Any]) -> str:
    """Return the version of PHP."""
    said = str(config.get("php_version"))
    return said if _VERSION.fullmatch(said) else NEWEST


def docroot(config: Mapping[str, Any]) -> str:
    """Return the folder of the project that is served; empty for the project itself."""
    return _folder(config, "docroot")


def _folder(config: Mapping[str, Any], key: str) -> str:
    said = str(config.get(key) or "").strip("/").removeprefix("./")
    return said if _FOLDER.fullmatch(said) and ".." not in said.split("/") else ""


def dockerfile(folder: Path, config: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the text, and notes of what users may have to add.

    Apache takes the place of DDEV's nginx: projects have their rules as .htaccess, and others get index.php for paths
    that are no files, as from nginx.
    """
    given = config.get("webimage_extra_packages")
    packages = [str(one) for one in given] if isinstance(given, list) else []
    named = [said[1] for one in packages if (said := _EXTENSION.fullmatch(one))]
    further = [one for one in packages if not _EXTENSION.fullmatch(one) and _PACKAGE.fullmatch(one)]
    lines = [
        "# What DDEV's web container does: written by `sandbox init` after .ddev/config.yaml, and yours to change.",
        f"FROM php:{version(config)}-apache",
        "COPY --from=mlocati/php-extension-installer /usr/bin/install-php-extensions /usr/local/bin/",
        f"RUN install-php-extensions @composer {' '.join(dict.fromkeys((*EXTENSIONS, *named)))}",
        *([f"RUN apt-get update && apt-get install -y {' '.join(further)}"] if further else []),
        *_server("/".join(filter(None, ("/var/www/html", docroot(config))))),
        *(["COPY .ddev/php/*.ini /usr/local/etc/php/conf.d/"] if _has(folder / ".ddev/php", "*.ini") else []),
        "WORKDIR /var/www/html",
        "COPY --chown=www-data:www-data . .",
        *_dependencies(folder, _folder(config, "composer_root")),
        "EXPOSE 80",
    ]
    odd = [one for one in packages if not _EXTENSION.fullmatch(one) and one not in further]
    return "".join(f"{line}\n" for line in lines), list(_notes(folder, odd))


def _server(root: str) -> Iterator[str]:
    """Yield what makes Apache serve the folder, to clients whose TLS ends at the edge."""
    settings = (
        "<VirtualHost *:80>",
        f"DocumentRoot {root}",
        f"<Directory {root}>",
        "AllowOverride All",
        "FallbackResource /index.php",
        "</Directory>",
        "SetEnvIf X-Forwarded-Proto ^https$ HTTPS=on",
        "</VirtualHost>",
    )
    yield "RUN a2enmod rewrite && printf '%s\\n' \\"
    yield from (f"    {shlex.quote(one)} \\" for one in settings)
    yield "    > /etc/apache2/sites-available/000-default.conf"


def _dependencies(folder: Path, place: str) -> Iterator[str]:
    if is_file(folder / place / "composer.json"):
        below = f" --working-dir={place}" if place else ""
        yield f"RUN COMPOSER_ALLOW_SUPERUSER=1 composer install --no-interaction{below}"


def _notes(folder: Path, odd: Collection[str]) -> Iterator[str]:
    yield "web is built by sandbox-web.Dockerfile, which takes the place of DDEV's image: check what the project needs"
    if odd:
        yield f"of webimage_extra_packages these are left out: {', '.join(odd)}"
    if _has(folder / ".ddev/web-build", "*Dockerfile*"):
        yield "what .ddev/web-build adds to the image is left out: add it to sandbox-web.Dockerfile"
    if is_file(folder / "package.json"):
        yield "sandbox-web.Dockerfile has no Node.js: build what the pages need before, or in a stage of its own there"


def _has(place: Path, pattern: str) -> bool:
    return any(one.match(pattern) and one.suffix != ".example" for one in listed(place))
