"""The memory itself: model, clock, merge, store, index, search."""
