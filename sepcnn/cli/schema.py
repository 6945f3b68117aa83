"""``sepcnn schema``: print the JSON schema of the config."""

from __future__ import annotations

import json

import click

from sepcnn.cli import console
from sepcnn.config.json_schema import schema


@click.command(name="schema")
def command() -> None:
    """Print the JSON schema of the config, for completion and hints in editors.

    To use it, start a config with this line: # yaml-language-server: $schema=sepcnn.schema.json
    """
    console.data(json.dumps(schema(), indent=1, ensure_ascii=False))
