"""The step that deletes objects: deletion/adapters/objects/, but for the listers of each store."""

from typing import Final

from tests.mutations.mutants.base import BUCKETS, Mutant

BUCKET: Final = "deletion/adapters/objects/bucket.py"
CURSOR: Final = "deletion/adapters/objects/cursor.py"
OBJECTS_SPEC: Final = "deletion/adapters/objects/spec.py"
OBJECTS: Final = "deletion/adapters/objects/step.py"

MUTANTS: Final = (
    Mutant(
        "a key outside of the prefix is deleted",
        OBJECTS,
        "if item.key.startswith(prefix)]",
        "if item.key]",
        BUCKETS,
    ),
    Mutant(
        "what is refused by a provider counts as deleted",
        OBJECTS,
        "        if at.refused:\n",
        "        if False:\n",
        BUCKETS,
    ),
    Mutant(
        "what is refused is listed again and again",
        CURSOR,
        "mark = (stays[-1].key, stays[-1].version) if stays else self.behind",
        "mark = self.behind",
        BUCKETS,
    ),
    Mutant(
        "a run goes on in front of what it has refused",
        CURSOR,
        "mark = (stays[-1].key, stays[-1].version) if stays else self.behind",
        "mark = (stays[-1].key, stays[-1].version) if stays else None",
        BUCKETS,
    ),
    Mutant(
        "a listing begins at the first object that stays",
        CURSOR,
        "(stays[-1].key, stays[-1].version)",
        "(stays[0].key, stays[0].version)",
        BUCKETS,
    ),
    Mutant(
        "all that is refused is named",
        CURSOR,
        ")[:NAMED]",
        ")",
        BUCKETS,
    ),
    Mutant(
        "a resumed run forgets what was refused before",
        CURSOR,
        'found.get("refused", 0)',
        "0",
        BUCKETS,
    ),
    Mutant(
        "the next attempt begins behind what was refused",
        OBJECTS,
        "            yield Batch(0, None)  # the next attempt starts over and tries them again\n",
        "",
        BUCKETS,
    ),
    Mutant(
        "what is busy is left behind",
        OBJECTS,
        "at.at(items) if busy else at.past(",
        "at.past(",
        BUCKETS,
    ),
    Mutant(
        "a cursor of another kind of step ends the step",
        CURSOR,
        "        except (ValueError, KeyError, TypeError, AttributeError, IndexError):",
        "        except KeyError:",
        BUCKETS,
    ),
    Mutant(
        "a cursor of another bucket is gone on from",
        CURSOR,
        "if cursor.bucket == bucket and cursor._is_sound",
        "if cursor._is_sound",
        BUCKETS,
    ),
    Mutant(
        "a cursor of any shape is gone on from",
        CURSOR,
        "if cursor.bucket == bucket and cursor._is_sound",
        "if cursor.bucket == bucket",
        BUCKETS,
    ),
    Mutant(
        "objects are paced as a database is",
        OBJECTS,
        "PACE: Final = Pace(target_ms=1000, min_batch=100)",
        "PACE: Final = Pace()",
        BUCKETS,
    ),
    Mutant(
        "a bucket that lists what it deleted is asked for ever",
        OBJECTS,
        "if has_deleted and at.is_at(items):",
        "if False:",
        BUCKETS,
    ),
    Mutant(
        "to delete the same page again and again is progress",
        OBJECTS,
        "is_progress=not at.is_at(items) and (deleted > 0 or not busy),",
        "is_progress=deleted > 0 or not busy,",
        BUCKETS,
    ),
    Mutant(
        "pages without items lose the lease",
        OBJECTS,
        "                    at = at.beyond(page)\n                    yield 0, at\n",
        "                    pass\n",
        BUCKETS,
    ),
    Mutant(
        "after a page without items a small one is asked for",
        OBJECTS,
        "size = PER_REQUEST if was_empty else min(",
        "size = min(",
        BUCKETS,
    ),
    Mutant(
        "an empty page is taken for the last",
        OBJECTS,
        "while not (page.items or page.is_last):",
        "while False:",
        BUCKETS,
    ),
    Mutant(
        "a batch is as large as the provider likes",
        OBJECTS,
        "_whole(page, prefix)[:size]",
        "_whole(page, prefix)",
        BUCKETS,
    ),
    Mutant(
        "a bucket names what is no bot",
        OBJECTS,
        "([0-9a-f]{{24}})",
        "([^/]*)",
        BUCKETS,
    ),
    Mutant(
        "kept objects are accepted by nobody",
        OBJECTS,
        "if until and not self.retained_is_accepted:",
        "if False:",
        BUCKETS,
    ),
    Mutant(
        "the record does not say until when objects are kept",
        OBJECTS,
        'f"retained until {until:%Y-%m-%d}" if until else STRONG',
        "STRONG",
        BUCKETS,
    ),
    Mutant(
        "a call to a bucket has no bound",
        OBJECTS,
        "asyncio.timeout(seconds)",
        "asyncio.timeout(None)",
        BUCKETS,
    ),
    Mutant(
        "a prefix without a slash at its end",
        OBJECTS_SPEC,
        'if not prefix.endswith("/"):',
        "if False:",
        BUCKETS,
    ),
    Mutant(
        "a prefix with the id as a part of a name",
        OBJECTS_SPEC,
        "if segments.count(BOT_ID) != 1 or prefix.count(BOT_ID) != 1:",
        "if prefix.count(BOT_ID) < 1:",
        BUCKETS,
    ),
    Mutant(
        "a prefix that climbs",
        OBJECTS_SPEC,
        'if any(segment in ("", ".", "..") for segment in segments):',
        "if False:",
        BUCKETS,
    ),
    Mutant(
        "Azure without a word",
        OBJECTS_SPEC,
        'if self.url.startswith("az:") and self.retained is None:',
        "if False:",
        BUCKETS,
    ),
    Mutant(
        "an expired token of an HTTP API is a refusal",
        BUCKET,
        "        HTTPStatus.UNAUTHORIZED,\n",
        "",
        BUCKETS,
    ),
)
