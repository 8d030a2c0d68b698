"""The command line itself; the commands are in the modules beside it."""

import click

from jukebox_helpers.about import kit_version


def show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Print the version, where ``--version`` asks for it."""
    if wanted and not context.resilient_parsing:
        click.echo(f"Jukebox {kit_version()}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=show_version, help="Show version.")
def cli() -> None:
    """Jukebox: from a push of data to a model that knows which bytes it was trained on."""
