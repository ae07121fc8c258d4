"""The exceptions that users catch, and how their fields are set."""

from dimtyped.errors.exceptions import (
    DeclarationError as DeclarationError,
    DimensionAssertionError as DimensionAssertionError,
    DimensionError as DimensionError,
    DimensionIndexError as DimensionIndexError,
    DimensionNotImplementedError as DimensionNotImplementedError,
    DimensionValueError as DimensionValueError,
    DimensionWarning as DimensionWarning,
    RankError as RankError,
    StateError as StateError,
    TyingError as TyingError,
    VocabularyError as VocabularyError,
    declaration_error as declaration_error,
    with_fields as with_fields,
)
