"""Errors of reading a corpus; each class also derives from the built-in error of its kind."""


class CorpusError(RuntimeError):
    """A corpus cannot be read as asked."""


class DatasetNotFoundError(CorpusError, FileNotFoundError):
    """The corpus is not at `data_dir`; this package downloads none."""

    @classmethod
    def for_corpus(
        cls, *, name: str, root: str, found: str, expected_tree: str, remedy: str
    ) -> "DatasetNotFoundError":
        """Compose the message: folder searched, what it holds, remedy and expected layout.

        Args:
            name (`str`): Name of the corpus on command lines.
            root (`str`): The folder that was searched.
            found (`str`): What the folder holds instead, in words.
            expected_tree (`str`): The layout of the corpus on disk.
            remedy (`str`): How to get the corpus, one sentence.

        Returns:
            `DatasetNotFoundError`: ready to be raised.
        """
        return cls(f"{name} was not found in data_dir={root!r}: {found}. {remedy} Expected layout:\n{expected_tree}")


class SheetError(CorpusError, ValueError):
    """An annotation sheet cannot be read, or is not the sheet that the corpus ships."""


class UnknownCorpusError(CorpusError, ValueError):
    """There is no corpus of that name."""


class UnknownLabelSetError(CorpusError, ValueError):
    """The corpus has no label set of that name."""


class CorpusOptionError(CorpusError, ValueError):
    """An option name or an option value that the corpus does not have."""
