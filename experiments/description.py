"""model.json of a run: see `jaxrnn.cli.description`, where it is."""

from jaxrnn.cli.description import load_description as load_description
