"""Tools for meeting a download: folders, sheets, frame numbering, action units."""
