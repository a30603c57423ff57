"""Where a deletion of objects goes on, and what it had to leave behind."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from deletion.adapters.objects.bucket import Item, Mark, Page, Refusal
from deletion.errors import ObjectsRefused

NAMED: Final = 5
"""Refused objects that an error names: a whole bucket may be locked."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a deletion stands in a bucket: the way it takes, and the mark behind which it goes on.

    Before the mark everything is deleted, or was refused for good: that is counted in `refused`,
    and a few are `named`. The checkpoint keeps both, so that a resumed run fails with the same
    error.
    """

    bucket: str
    way: str | None = None
    behind: Mark | None = None
    refused: int = 0
    named: tuple[str, ...] = ()
    page: str | None = None
    """A digest of the page that was deleted last."""

    @classmethod
    def read(cls, bucket: str, text: str) -> "Cursor | None":
        """None for a text that no cursor of this bucket wrote."""
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
        """For the checkpoint."""
        every = {
            "bucket": self.bucket,
            "way": self.way,
            "behind": self.behind,
            "refused": self.refused,
            "named": self.named,
            "page": self.page,
        }
        return json.dumps({name: value for name, value in every.items() if value})

    def is_at(self, items: Sequence[Item]) -> bool:
        """Whether `items` are those of the page that was deleted last: it had no effect."""
        return self.page == _digest(items)

    def at(self, items: Sequence[Item]) -> "Cursor":
        """Where it is, but with `items` as the page that was deleted last."""
        return replace(self, page=_digest(items))

    def on(self, way: str) -> "Cursor":
        """This cursor if it is on that way already, else the beginning of it."""
        return self if self.way == way else replace(self, way=way, behind=None)

    def past(self, page: Page, items: Sequence[Item], refusals: Sequence[Refusal]) -> "Cursor":
        """The cursor when all of `items` is deleted, or refused for good.

        What stays would be listed again, so the next listing begins behind the last of it: that
        can be named even where the provider knows no mark of an object that is gone.
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
        """The cursor behind a page without items."""
        return replace(self, behind=page.onward)

    def error(self) -> ObjectsRefused:
        """What was refused: how many, and some by name."""
        more = self.refused - len(self.named)
        named = "; ".join(self.named) + (f"; and {more} more" if more else "")
        what = "1 object was" if self.refused == 1 else f"{self.refused} objects were"
        return ObjectsRefused(
            f"{self.bucket}: {what} not deleted, because of a lock or a hold, or because this "
            f"identity may not: lift that, then retry the job: {named}"
        )

    @property
    def _is_sound(self) -> bool:
        key, version = self.behind or ("", None)
        texts = (self.way, key, version or "", self.page or "", *self.named)
        return all(isinstance(text, str) for text in texts) and isinstance(self.refused, int)


def _digest(items: Sequence[Item]) -> str:
    """Without their keys, which may be personal."""
    names = json.dumps([(item.key, item.version) for item in items])
    return hashlib.sha256(names.encode()).hexdigest()[:16]
