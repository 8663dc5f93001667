"""The page of one cell, section by section. Pure."""
