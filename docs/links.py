"""From a name to the page that describes it: in signatures, and wherever a page has one in backquotes."""

from __future__ import annotations

import api
from docutils import nodes

# Libraries whose names stand in signatures. Their inventories are on the network, so they lead nowhere here.
OTHERS = {"jax", "jaxlib", "numpy", "np", "jnp", "optax", "flax", "nnx", "typing", "collections", "Any", "Callable"}


def missing(app, env, node, content):
    """`missing-reference`: a signature knows a thing by the module that defines it, a page by its public name."""
    text = node.get("reftarget", "")
    around = node.get("py:module")
    places = (text, f"{around}.{text}" if around else text, f"jaxrnn._core.cell.{text}")
    value = next((v for place in places if (v := api.found(place)) is not None), None)
    full = api.names().get(id(value))
    if full and full != text:
        return resolved(app, env, node["refdoc"], full, node, content)
    known = value is not None or text.partition(".")[0] in OTHERS
    return content if known and not full else None  # None: a warning


def resolved(app, env, page, full, node, content):
    """A reference to what is described by this name."""
    return env.get_domain("py").resolve_xref(env, page, app.builder, "obj", full, node, content)


def linked(app, doctree, page) -> None:
    """`doctree-resolved`: `jaxrnn.unroll` or `train.fit(...)` in a text leads to its description; images say what."""
    for image in doctree.findall(nodes.image):
        image["alt"] = image.get("alt") or "What the code above draws"  # the outputs of notebooks have none
    if page.startswith("docs/api/"):
        return  # what is made of docstrings has its links
    for literal in list(doctree.findall(nodes.literal)):
        text = literal.astext()
        if within(literal, nodes.reference | nodes.title) or not text.partition("(")[0].strip():
            continue
        full = api.target(text, "jaxrnn")
        if full is None or full in api.PAGES:
            continue
        node = nodes.Element()
        node["py:module"] = node["py:class"] = None
        if found := resolved(app, app.env, page, full, node, literal.deepcopy()):
            literal.replace_self(found)


def within(node, kinds) -> bool:
    """Whether a node stands in one of these kinds."""
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def setup(app):
    """Sphinx's hooks."""
    app.connect("missing-reference", missing)
    app.connect("doctree-resolved", linked)
