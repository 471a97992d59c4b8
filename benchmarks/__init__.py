"""Measurements against other packages, side by side in one run. `make bench` runs them all.

Figures are for reading: they depend on the machine and on what else it does, so nothing here fails because of one.
"""

# First of all imports, because it brings in the SDK without the lines that the SDK prints.
import langchain_tablestore_memory as langchain_tablestore_memory
