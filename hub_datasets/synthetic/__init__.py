"""The synthetic corpus: faces that belong to nobody, with exact ground truth.

`faces` holds the contract that the two kinds of face share, `procedural` and `morphable` are those kinds, `motion`
plans what a face does, `render` films it, `corpus` is the builder, `generate` the command.
"""
