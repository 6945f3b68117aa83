"""``sepcnn schema``: print the JSON schema of the config."""

from __future__ import annotations

import json

import click

from sepcnn.cli import console
from sepcnn.config.json_schema import schema


@click.command(name="schema")
def command() -> None:
    """Print the JSON schema of the config, for completion and hints in editors.

    The first line of a config refers to it: # yaml-language-server: $schema=sepcnn.schema.json
    """
    console.data(json.dumps(schema(), indent=1, ensure_ascii=False))
