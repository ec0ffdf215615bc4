"""Spotting: where in a long recording a face shows micro- and macro-expressions."""

from spotting_fdp.spotter import Recognition, Recognizer, SpottedExpression, Spotter, SpottingResult

__all__ = ["Recognition", "Recognizer", "SpottedExpression", "Spotter", "SpottingResult"]
