"""Parses command lines of the Azure CLI with its own argument parser, and runs none of them.

parse.py: reads a JSON list of command lines, each a list of words without "az", from standard input. Writes a JSON list with
null for each that the CLI accepts, and the CLI's own message for each that it refuses.

Only the CLI's modules below are loaded: requirements.txt has the packages that they need, and all modules together need
several times as many.
"""
import contextlib
import io
import json
import sys

from azure.cli.core import get_default_cli
from azure.cli.core.commands import _load_module_command_loader
from azure.cli.core.commands.events import EVENT_INVOKER_PRE_LOAD_ARGUMENTS
from knack.events import EVENT_INVOKER_POST_CMD_TBL_CREATE

MODULES = ["acr", "acs", "cloud", "containerapp", "identity", "monitor", "network", "privatedns", "profile", "resource", "role", "util"]


def loaded(cli):
    loader = cli.commands_loader_cls(cli)
    for module in MODULES:
        table, groups, of_module = _load_module_command_loader(loader, None, module)
        for name, command in table.items():
            command.command_source = module
            loader.cmd_to_loader_map[name] = [of_module]
        loader.command_table.update(table)
        loader.command_group_table.update(groups)
    return loader


def problem(cli, loader, words):
    """The message with which the CLI refuses a command line; None if it accepts it."""
    lengths = range(len(words), 0, -1)
    name = next((" ".join(words[:n]) for n in lengths if " ".join(words[:n]) in loader.command_table), None)
    if name is None:
        return "no such command in " + ", ".join(MODULES)
    cli.invocation.data["command_string"] = name
    loader.command_name = name
    table = loader.command_table
    loader.command_table = {name: table[name]}
    # The CLI itself adds --subscription and --ids upon these events.
    cli.raise_event(EVENT_INVOKER_PRE_LOAD_ARGUMENTS, commands_loader=loader)
    loader.load_arguments(name)
    cli.raise_event(EVENT_INVOKER_POST_CMD_TBL_CREATE, commands_loader=loader)
    parser = cli.parser_cls(cli_ctx=cli, prog="az", parents=[cli.parser_cls.create_global_parser(cli_ctx=cli)])
    try:
        parser.load_command_table(loader)
    finally:
        loader.command_table = table
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parser.parse_args(words)
    except SystemExit:
        return said.getvalue().strip().split("\n")[0] or "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main():
    cli = get_default_cli()
    cli.invocation = cli.invocation_cls(
        cli_ctx=cli, parser_cls=cli.parser_cls, commands_loader_cls=cli.commands_loader_cls, help_cls=cli.help_cls
    )
    loader = loaded(cli)
    cli.invocation.commands_loader = loader
    json.dump([problem(cli, loader, words) for words in json.load(sys.stdin)], sys.stdout)


main()
