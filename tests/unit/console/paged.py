"""What stands on a page of the console."""

from html.parser import HTMLParser
from typing import Final

VOID: Final = {"meta", "link", "input", "br"}
"""Elements without an end, as the templates write them."""


class Page(HTMLParser):
    """What a browser makes of a page. Raises `AssertionError` for one that is not well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.forms: list[str] = []
        """The addresses to which forms are sent."""
        self.ids: list[str] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []
        assert len(self.ids) == len(set(self.ids)), "an id is there twice"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and that nothing of it is inline script or style."""
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        assert not [name for name in names if name.startswith("on") or name == "style"]
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "a" and (href := values.get("href")):
            self.links.append(href)
        if tag == "form" and values.get("method") == "post":
            self.forms.append(values.get("action") or "")
        if found := values.get("id"):
            self.ids.append(found)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element of a drawing that ends itself."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """It ends the element that began last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the words."""
        self.words += f" {data}"

    def says(self, text: str) -> bool:
        """Whether the page has these words, whatever the spaces between them."""
        return " ".join(text.split()) in " ".join(self.words.split())
