"""Write constraints.txt: the versions installed here of everything the project and its extras need, directly or not.

Run by ``make pins`` in an environment where new versions were tried. A package that only another system or Python
needs keeps the line it had.
"""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "constraints.txt"
HEADER = """\
# The versions that the course is checked with, for everything it needs, directly or not.
# Written by `make pins`; the ranges that the code can live with are in pyproject.toml.
"""
BUILD_TOOLS = ["cmake", "ninja", "setuptools"]  # beside build-system.requires: see the Makefile
SYSTEMS = [
    {
        "sys_platform": platform,
        "platform_system": system,
        "python_version": version,
        "python_full_version": version + ".0",
    }
    for platform, system in (("linux", "Linux"), ("darwin", "Darwin"))
    for version in ("3.11", "3.12", "3.13", "3.14")
]


def main() -> None:
    """Follow the requirements from pyproject.toml through the installed packages' own."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    waiting = [
        *pyproject["build-system"]["requires"],
        *BUILD_TOOLS,
        *project["dependencies"],
        *(requirement for extra in project["optional-dependencies"].values() for requirement in extra),
    ]
    pins = {}
    seen = {project["name"]}
    old = (
        dict(line.split("==") for line in TARGET.read_text().split() if "==" in line)
        if TARGET.exists()
        else {}
    )
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        key = f"{name}{sorted(requirement.extras)}"
        if name in seen or key in seen:
            continue
        seen.add(key)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            if name not in old:
                raise SystemExit(
                    f"{name} is neither installed nor in {TARGET.name}: install it, then try again"
                ) from None
            pins[name] = old[name]
            continue
        pins[name] = Version(package.version).public
        for text in package.requires or []:
            marker = Requirement(text).marker
            extras = requirement.extras or {""}
            if marker is None or any(
                marker.evaluate({**system, "extra": e}) for system in SYSTEMS for e in extras
            ):
                waiting.append(text)
    TARGET.write_text(HEADER + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins)))


if __name__ == "__main__":
    main()
