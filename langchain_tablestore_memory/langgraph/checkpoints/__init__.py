"""LangGraph's checkpoints: `saver` is what LangGraph calls, `rows` is how they are kept."""
