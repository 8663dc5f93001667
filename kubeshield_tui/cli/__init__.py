"""From argv to settings to a front end; the only place that exits."""
