"""Coloured shapes on plain backgrounds: drawn, captioned and read back by closed-form code, in endless supply."""
