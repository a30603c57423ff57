"""The cursor of an objects step: where to continue, and what was refused."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from deletion.adapters.objects.bucket import Item, Mark, Page, Refusal
from deletion.errors import ObjectsRefused

NAMED: Final = 5
"""How many refused objects an error names; a whole bucket may be locked."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of a deletion in a bucket: its lister, and the mark after which it continues.

    Everything before the mark is deleted, or was refused for good. Refused objects are counted in
    `refused`, and a few are `named`; the checkpoint keeps both, so that a resumed run fails with
    the same error.
    """

    bucket: str
    lister: str | None = None  # `way` in the text
    behind: Mark | None = None
    refused: int = 0
    named: tuple[str, ...] = ()
    page: str | None = None
    """A digest of the page that was deleted last."""

    @classmethod
    def read(cls, bucket: str, text: str) -> "Cursor | None":
        """Parse `text`. Returns None if no cursor of this bucket wrote it."""
        try:
            found = json.loads(text)
            behind = found.get("behind")
            cursor = cls(
                found["bucket"],
                found["way"],
                None if behind is None else (behind[0], behind[1]),
                found.get("refused", 0),
                tuple(found.get("named", ())),
                found.get("page"),
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return None
        return cursor if cursor.bucket == bucket and cursor._is_sound else None

    @property
    def text(self) -> str:
        """The cursor as JSON, for the checkpoint."""
        every = {
            "bucket": self.bucket,
            "way": self.lister,
            "behind": self.behind,
            "refused": self.refused,
            "named": self.named,
            "page": self.page,
        }
        return json.dumps({name: value for name, value in every.items() if value})

    def is_at(self, items: Sequence[Item]) -> bool:
        """Whether `items` are the page that was deleted last, so that deleting it had no effect."""
        return self.page == _digest(items)

    def at(self, items: Sequence[Item]) -> "Cursor":
        """This cursor with `items` as the page that was deleted last."""
        return replace(self, page=_digest(items))

    def on(self, lister: str) -> "Cursor":
        """This cursor if it is one of `lister` already, else the beginning of `lister`."""
        return self if self.lister == lister else replace(self, lister=lister, behind=None)

    def past(self, page: Page, items: Sequence[Item], refusals: Sequence[Refusal]) -> "Cursor":
        """The cursor after all of `items` were deleted, or refused for good.

        Refused items would be listed again, so the next listing begins after the last of them. Such
        a mark is valid even where the provider accepts no mark of an object that is gone.
        """
        refused = {refusal.item for refusal in refusals}
        stays = [item for item in items if item in refused] or (items if refusals else ())
        mark = (stays[-1].key, stays[-1].version) if stays else self.behind
        return replace(
            self.at(items),
            behind=page.resume or mark,
            refused=self.refused + len(refusals),
            named=(*self.named, *(refusal.text for refusal in refusals))[:NAMED],
        )

    def beyond(self, page: Page) -> "Cursor":
        """The cursor after a page with nothing to delete."""
        return replace(self, behind=page.onward)

    def error(self) -> ObjectsRefused:
        """The error that says how many objects were refused, and names some."""
        more = self.refused - len(self.named)
        named = ", ".join(self.named) + (f", and {more} more" if more else "")
        what = "1 object was" if self.refused == 1 else f"{self.refused} objects were"
        return ObjectsRefused(
            f"{what} not deleted from {self.bucket}, because of a lock or a hold, or because this "
            f"identity lacks the right: {named}",
            "remove the cause, then retry the job",
        )

    @property
    def _is_sound(self) -> bool:
        key, version = self.behind or ("", None)
        texts = (self.lister, key, version or "", self.page or "", *self.named)
        return all(isinstance(text, str) for text in texts) and isinstance(self.refused, int)


def _digest(items: Sequence[Item]) -> str:
    """A digest of the page, because its keys may be personal data."""
    names = json.dumps([(item.key, item.version) for item in items])
    return hashlib.sha256(names.encode()).hexdigest()[:16]
