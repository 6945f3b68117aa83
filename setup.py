"""Which packages a wheel holds: all of ``sepcnn``, and ``configs/`` as ``sepcnn/configs``.

All else is in pyproject.toml, which cannot add a folder to the packages that are found.
See docs/decisions/0011-configs-in-the-wheel.md.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["sepcnn", "sepcnn.*"]), "sepcnn.configs"],
    package_dir={"sepcnn.configs": "configs"},
)
