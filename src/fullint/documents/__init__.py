"""What reports say, as values (`document`), and the ways to show it (`renderings`)."""

from fullint.documents.document import Block, Document, Fact, Line, Picture, Table
from fullint.documents.wording import cut, many, size, some, spans

__all__ = ["Block", "Document", "Fact", "Line", "Picture", "Table", "cut", "many", "size", "some", "spans"]
