"""The builders of notebooks, scorecard and book; each writes what it makes whole or not at all."""
