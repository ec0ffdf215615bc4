"""The synthetic corpus: rendered faces with exact ground truth.

`settings` plans the recordings, `tree` renders them by `rendered_faces` into one of the folder layouts of `layouts`,
`corpus` is the builder, `generate` the command.
"""
