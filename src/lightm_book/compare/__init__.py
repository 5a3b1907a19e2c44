"""Records of runs to tables and verdicts: which belong together, and which differences are more than luck."""
