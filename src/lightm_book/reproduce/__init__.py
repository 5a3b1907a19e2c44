"""The paper's experiments, piece by piece, on whatever GPU there is: `lightm-book reproduce`, `make gpu`.

plan.py        a plan (gpu unless another is named): which pieces there are, in order of value
workshop.py    the folder in which they are made: what is done, begun or pending, and what that took
pieces.py      how one piece is made: a training run, a check or a timing of the scan
session.py     one call: the pieces that are pending, as far as the time reaches
claim.py       one claim of the paper: what its verdict rests on, and that made anew (`lightm-book claim`)
rehearsal.py   the same pieces, tiny, for a machine without a GPU
"""
