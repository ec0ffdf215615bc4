"""One input that cannot be answered costs its own answer alone, whatever stopped it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from training_fdp.cli import user_facing_errors
from training_fdp.data.aligned_clips import UNUSABLE
from training_fdp.hub.prediction import Refusal

logger = logging.getLogger(__name__)


@contextmanager
def refused_alone(source: str, refusals: list[Refusal]) -> Iterator[None]:
    """Turn what stops the answer of an input into a refusal, and go on.

    Args:
        source (`str`): The input as the command line gives it.
        refusals (`list[Refusal]`): Gets one entry if the input cannot be read, or if this program fails on it, whose
            traceback is logged.

    Raises:
        user_facing_errors(): A wrong setting, which stops every input.
    """
    try:
        yield
    except UNUSABLE as error:
        refusals.append(Refusal(source, " ".join(str(error).split())))
    except user_facing_errors():
        raise  # of the command, because every input meets them
    except Exception as error:
        logger.exception("%s", source)
        refusals.append(
            Refusal(source, f"{source} met a fault of this program ({type(error).__name__}, above); please report it")
        )
