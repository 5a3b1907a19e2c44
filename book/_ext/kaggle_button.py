"""A Sphinx extension: Kaggle beside Colab and Binder among the buttons that open a chapter elsewhere."""


def add_button(app, pagename, templatename, context, doctree):
    options = app.config.html_theme_options
    notebook = f"{options['repository_url']}/blob/{options['repository_branch']}/{pagename}.ipynb"
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons" and pagename.startswith("notebooks/"):
            group["buttons"].append(
                {
                    "type": "link",
                    "text": "Kaggle",
                    "tooltip": "Open this chapter on Kaggle",
                    "icon": "fas fa-external-link-alt",
                    "url": f"https://www.kaggle.com/kernels/welcome?src={notebook}",
                }
            )


def setup(app):
    app.connect("html-page-context", add_button, priority=900)  # after the theme made its own
    return {"parallel_read_safe": True}
