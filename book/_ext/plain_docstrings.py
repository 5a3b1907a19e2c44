"""A Sphinx extension: docstrings appear on the reference page as they are written, like in Python's own help().

They are plain text with shapes such as (B, C, *S) and small tables; reStructuredText would stumble over both.
"""


def show_as_written(app, what, name, obj, options, lines):
    if any(lines):
        lines[:] = [".. code-block:: text", "   :class: docstring", "", *(f"   {line}" for line in lines), ""]


def setup(app):
    app.connect("autodoc-process-docstring", show_as_written)
    return {"parallel_read_safe": True}
