"""The advisory locks by which golang-migrate keeps two migrators apart, as its `GenerateAdvisoryLockId` counts them."""

import zlib

SALT = 1486364155
"""`advisoryLockIDSalt` of golang-migrate v4, database/util.go."""


def lock_ids(dbname: str, schema: str, table: str) -> tuple[int, int]:
    """Both ids that a migrator of this version table may take.

    By URL (the command line, `migrate.New`) the database's name keeps the slash of the URL's path; by a connection that
    the program made itself (`WithInstance`) it has none. Holding one of the two does not stop the other.
    """
    return _lock_id(f"/{dbname}", schema, table), _lock_id(dbname, schema, table)


def _lock_id(name: str, schema: str, table: str) -> int:
    return (zlib.crc32("\0".join((schema, table, name)).encode()) * SALT) & 0xFFFFFFFF
