"""The conformance file of the selective scan, scan.json, and everything in this repository that passes it.

For whoever ports the scan: cases.py describes the file, numpy_scan.py is a port to start from, with its gradients.
"""

from lightm_book.conformance.cases import Case, error, load_cases
from lightm_book.conformance.places import PLACES, Place

__all__ = ["PLACES", "Case", "Place", "error", "load_cases"]
