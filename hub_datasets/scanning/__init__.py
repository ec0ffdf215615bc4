"""Scanning a download: folders, sheets, frame numbering, action units."""
