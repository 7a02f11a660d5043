"""SQLite storage of one user: ops are the truth, rows and full text follow from them."""

from jmem.core.store.rows import MEMORY_COLUMNS, MEMORY_WIDTH, memory_of, row_memory
from jmem.core.store.store import Store
from jmem.core.store.writer import Pending, Tx

__all__ = ["MEMORY_COLUMNS", "MEMORY_WIDTH", "Pending", "Store", "Tx", "memory_of", "row_memory"]
