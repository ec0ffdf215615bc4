"""What can go wrong while a corpus is read; every class is also the built-in error that a caller would expect."""


class CorpusError(RuntimeError):
    """A corpus cannot be read as asked."""


class DatasetNotFoundError(CorpusError, FileNotFoundError):
    """The corpus is not where the caller said; none is ever downloaded by this package."""

    @classmethod
    def for_corpus(
        cls, *, name: str, root: str, found: str, expected_tree: str, remedy: str
    ) -> "DatasetNotFoundError":
        """Compose the message that says where was looked, what should be there and what to do next.

        Args:
            name (`str`): Name of the corpus on command lines.
            root (`str`): The folder that was searched.
            found (`str`): What was there instead, in words.
            expected_tree (`str`): The layout of the corpus on disk.
            remedy (`str`): How to get the corpus there, a sentence.

        Returns:
            `DatasetNotFoundError`: ready to be raised.
        """
        return cls(f"{name} was not found in data_dir={root!r}: {found}. {remedy} Expected layout:\n{expected_tree}")


class SheetError(CorpusError, ValueError):
    """An annotation sheet cannot be read, or is not the sheet that the corpus ships."""


class UnknownCorpusError(CorpusError, ValueError):
    """No corpus goes by that name."""


class UnknownLabelSetError(CorpusError, ValueError):
    """The corpus has no label set of that name."""


class CorpusOptionError(CorpusError, ValueError):
    """An option of a corpus was given a name or a value that it does not have."""
