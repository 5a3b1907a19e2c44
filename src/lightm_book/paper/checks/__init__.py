"""How a claim is decided: each module has the checks of one kind."""
