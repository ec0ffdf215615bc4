"""A run: preparation, folds in order, finish, trackers."""
