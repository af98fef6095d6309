"""SQL conditions that say what really is in a database, whatever anybody concludes."""


def there(*names: str) -> str:
    """Tables, views, indexes and sequences exist."""
    return " AND ".join(f"to_regclass('{name}') IS NOT NULL" for name in names)


def gone(*names: str) -> str:
    """Tables, views, indexes and sequences do not exist."""
    return " AND ".join(f"to_regclass('{name}') IS NULL" for name in names)


def column(table: str, name: str) -> str:
    """A table has a column."""
    return (
        f"EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{table}'::regclass"
        f" AND attname = '{name}' AND NOT attisdropped)"
    )


def constraint(table: str, name: str) -> str:
    """A table has a constraint."""
    return f"EXISTS (SELECT FROM pg_constraint WHERE conrelid = '{table}'::regclass AND conname = '{name}')"


def type_(name: str) -> str:
    """A type exists: an enum, a domain."""
    return f"to_regtype('{name}') IS NOT NULL"


def function(signature: str) -> str:
    """A function exists."""
    return f"to_regprocedure('{signature}') IS NOT NULL"


def invalid(index: str) -> str:
    """An index is there but cannot be used."""
    return f"EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('{index}') AND NOT indisvalid)"


def no(condition: str) -> str:
    """The opposite."""
    return f"NOT ({condition})"


def rows(table: str, where: str = "true") -> str:
    """A table has such a row."""
    return f"EXISTS (SELECT FROM {table} WHERE {where})"


def all_of(*conditions: str) -> str:
    """All of them."""
    return " AND ".join(f"({condition})" for condition in conditions)
