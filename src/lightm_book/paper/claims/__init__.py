"""The statements of the paper that can be checked, section by section."""
