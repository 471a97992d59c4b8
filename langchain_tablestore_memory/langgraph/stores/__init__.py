"""LangGraph's store: `store` is what LangGraph calls, `items` and `table` are how items are kept."""
