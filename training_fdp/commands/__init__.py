"""The command lines: `fdp-train`, `fdp-push`, and the scripts of the same code in the repository's root."""
