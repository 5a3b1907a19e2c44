"""python -m lightm_book.conformance: make scan.json anew."""

from lightm_book.conformance.cases import FILE, PLANS, write_cases

write_cases()
print(f"{FILE.name}: {len(PLANS)} cases, {FILE.stat().st_size:,} bytes")
