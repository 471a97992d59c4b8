"""What is stored and how it is asked for: knows the Tablestore SDK, knows no LangChain."""
