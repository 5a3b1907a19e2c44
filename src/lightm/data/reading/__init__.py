"""What lies in a file and in a folder: a module for each family of formats, one for layouts, one for dataset.json."""
