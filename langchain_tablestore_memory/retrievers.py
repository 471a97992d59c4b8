"""TablestoreRetriever: all searches of a `TablestoreVectorStore` as a LangChain retriever."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from langchain_core.vectorstores import VectorStoreRetriever
from pydantic import model_validator

from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.vectorstores import MAX_K, SearchType, TablestoreVectorStore

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document


class TablestoreRetriever(VectorStoreRetriever):
    """Retrieves documents by meaning, by words or by both.

    What is given to a call counts before what the retriever was made with: `retriever.invoke(query, k=2)`.

    Attributes:
        vectorstore: The store. One without an embedding model is enough for ``"full_text"``.
        search_type: ``"similarity"``, ``"similarity_score_threshold"``, ``"mmr"``, ``"full_text"`` or ``"hybrid"``.
        k: How many documents to retrieve, 1 to 1000; 4 by default.
        search_kwargs: What else the search takes: `filter`, `score_threshold`, `fetch_k`, `settings`, ...

    Raises:
        InvalidArgumentError: `k` is out of range.
        pydantic.ValidationError: There is no such search type, or `score_threshold` is missing where it is needed; says
            what is allowed. It is a ValueError.

    Example:
        ```python
        store = TablestoreVectorStore(connection=connect("local:./data"))  # no embedding model
        TablestoreRetriever(vectorstore=store, search_type="full_text", k=3).invoke("tea")
        ```
    """

    vectorstore: TablestoreVectorStore
    k: int | None = None

    allowed_search_types: ClassVar[Collection[str]] = get_args(SearchType)

    def __init__(self, **data: Any) -> None:
        # Here, because what a validator raises becomes an error of pydantic's.
        for k in (data.get("k"), (data.get("search_kwargs") or {}).get("k")):
            if k is not None:
                check_count(k, "k", at_most=MAX_K)
        super().__init__(**data)

    @model_validator(mode="before")
    @classmethod
    def validate_search_type(cls, values: dict[str, Any]) -> Any:
        """Check that the search type is known, and that a threshold is there where it is needed."""
        search_type = values.get("search_type", "similarity")
        if search_type not in cls.allowed_search_types:
            allowed = ", ".join(map(repr, cls.allowed_search_types))
            raise ValueError(f"search_type is {search_type!r}. Give one of {allowed}.")
        if search_type == "similarity_score_threshold":
            threshold = (values.get("search_kwargs") or {}).get("score_threshold")
            if isinstance(threshold, bool) or not isinstance(threshold, int | float):
                raise ValueError(
                    f'search_type {search_type!r} needs search_kwargs={{"score_threshold": 0.8}}, a number from 0 to 1.'
                )
        return values

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - of the interface
        **kwargs: Any,
    ) -> list[Document]:
        return self.vectorstore.search(query, self.search_type, **self._options(kwargs))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002 - of the interface
        **kwargs: Any,
    ) -> list[Document]:
        return await self.vectorstore.asearch(query, self.search_type, **self._options(kwargs))

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        own = {} if self.k is None else {"k": self.k}
        return own | self.search_kwargs | given
