"""What book/try_it.md is filled with: the panel, its files, and a sentence on the network in it."""

from pathlib import Path

from lightm.training.weights import list_weights
from lightm_book.try_it import assets, panel

WEIGHTS = "cxr-lungs"
FOLDER = "../_static/try_it"  # from the page


def try_it(run: Path | None) -> tuple[str, dict[str, bytes]]:
    """Markdown and files (name -> content) of the page, for the weights that come with the package.

    run: whose network it is while the package has none; None: the page then says that it has no network.
    """
    shipped = WEIGHTS in list_weights()
    if not shipped and run is None:
        return "This copy of the book was built without a network to try: `make book` trains one.\n", {}
    files = assets(WEIGHTS if shipped else run)
    said = (
        f"The network here is `{WEIGHTS}`: {{doc}}`model_card`."
        if shipped
        else "The network here is the small one that this build has trained, on phantoms alone: it knows phantoms."
    )
    html = panel(len(files["weights.js"]) / 1e6, FOLDER)
    return f"{said}\n\n```{{raw}} html\n{html}```\n", files
