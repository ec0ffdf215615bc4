"""From predictions to results.json, report and figures: protocols, metrics, records of folds. No torch."""
