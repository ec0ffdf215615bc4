"""Threshold of the spotter as false alarms a minute."""
FALSE_ALARMS_PER_MINUTE = 1.0
def least_score(rate: float) -> float:
    return 4.5
