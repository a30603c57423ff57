"""The listers of each store of objects: deletion/adapters/objects/."""

from typing import Final

from tests.mutations.mutants.base import BUCKETS, Mutant

ENDPOINTS: Final = "deletion/adapters/objects/provider_endpoint.py"
FILES: Final = "deletion/adapters/objects/files.py"
GCS: Final = "deletion/adapters/objects/gcs.py"
GCS_LISTERS: Final = "deletion/adapters/objects/gcs_listers.py"
OBSTORE: Final = "deletion/adapters/objects/obstore_lister.py"
S3: Final = "deletion/adapters/objects/s3.py"
S3_LISTERS: Final = "deletion/adapters/objects/s3_listers.py"

MUTANTS: Final = (
    Mutant(
        "the mount point of a volume that is not mounted is empty",
        FILES,
        "if not self.home.is_dir():",
        "if not self.root.is_dir():",
        BUCKETS,
    ),
    Mutant(
        "objects without content are counted by a name that is not theirs",
        OBSTORE,
        'if meta["size"] or self.is_alone]',
        "]",
        BUCKETS,
    ),
    Mutant(
        "stripped markers are listed for ever",
        OBSTORE,
        "if offset is not None and last <= offset:",
        "if False:",
        BUCKETS,
    ),
    Mutant(
        "obstore in a bucket with versions",
        S3,
        "return exact if await self._keeps_versions() else [self.fast, *exact]",
        "return [self.fast, *exact]",
        BUCKETS,
    ),
    Mutant(
        "a suspended bucket kept no versions",
        S3,
        'return "Status" in found',
        'return found.get("Status") == "Enabled"',
        BUCKETS,
    ),
    Mutant(
        "unfinished uploads are left",
        S3,
        "            Uploads(self.url, self.bucket, self.client),\n",
        "",
        BUCKETS,
    ),
    Mutant(
        "delete markers are left",
        S3_LISTERS,
        '*found.get("DeleteMarkers", ())',
        "",
        BUCKETS,
    ),
    Mutant(
        "errors in the answer to a bulk request are not read",
        S3_LISTERS,
        'answer.get("Errors", ())',
        "()",
        BUCKETS,
    ),
    Mutant(
        "a provider that asks to wait has refused",
        S3_LISTERS,
        "may_pass(status) or code in PASSING",
        "False",
        BUCKETS,
    ),
    Mutant(
        "soft-deleted objects are not looked for",
        GCS,
        "latest = max((*found, *([latest] if latest else ())), default=None)",
        "latest = None",
        BUCKETS,
    ),
    Mutant(
        "all that is soft-deleted is listed",
        GCS,
        "for _ in range(KEPT_PAGES):",
        "while True:",
        BUCKETS,
    ),
    Mutant(
        "what was kept for longer before is forgotten",
        GCS,
        "return max(latest, gone) if latest else gone",
        "return gone",
        BUCKETS,
    ),
    Mutant(
        "held generations are tried for ever",
        GCS_LISTERS,
        "[each for each in found if each > mark]",
        "found",
        BUCKETS,
    ),
    Mutant(
        "more held generations than a page has end the listing",
        GCS_LISTERS,
        "if each > mark]) and token:",
        "if each > mark]) and False:",
        BUCKETS,
    ),
    Mutant(
        "a thread that was given up goes on deleting",
        GCS_LISTERS,
        "await all_at_once(partial(one_by_one, self._remove), items, THREADS)",
        "list(filter(None, await self.api.call(lambda: [self._delete_now(each) for each in items])))",
        BUCKETS,
    ),
    Mutant(
        "credentials of Google that are late are a refusal",
        GCS_LISTERS,
        "return ObjectsUnavailable(  # no credentials",
        "return ObjectsRefused(  # no credentials",
        BUCKETS,
    ),
    Mutant(
        "credentials of AWS that are late are a refusal",
        S3_LISTERS,
        '        return ObjectsUnavailable(\n            f"{url} cannot be used now',
        '        return ObjectsRefused(\n            f"{url} cannot be used now',
        BUCKETS,
    ),
    Mutant(
        "a token that has expired is a refusal",
        S3_LISTERS,
        '        "ExpiredToken",\n',
        "",
        BUCKETS,
    ),
    Mutant(
        "one key that XML cannot hold spoils a request",
        S3_LISTERS,
        "if not UNWRITABLE.search(item.key)]",
        "]",
        BUCKETS,
    ),
    Mutant(
        "versions are gone through in no order",
        S3_LISTERS,
        '(each["Key"], -each["LastModified"].timestamp())',
        'each["VersionId"]',
        BUCKETS,
    ),
    Mutant(
        "a part of the URL of a folder is left out",
        FILES,
        "    if UNCLEAR.search(named):\n",
        "    if False:\n",
        BUCKETS,
    ),
    Mutant(
        "the URL of a folder may climb",
        FILES,
        'or ".." in path.parts',
        "",
        BUCKETS,
    ),
    Mutant(
        "a thread of a folder that was given up goes on",
        FILES,
        "await one_by_one(self._unlink, items)",
        "list(filter(None, await self._call(lambda: [self._remove(item) for item in items])))",
        BUCKETS,
    ),
    Mutant(
        "a mark that is gone ends the listing of a folder",
        FILES,
        "                walk = self._walk(prefix)\n            keys",
        "                pass\n            keys",
        BUCKETS,
    ),
    Mutant(
        "one held blob of Azure is a refusal of all",
        OBSTORE,
        "(FileNotFoundError, *HELD) if self.is_alone",
        "(FileNotFoundError,) if self.is_alone",
        BUCKETS,
    ),
    Mutant(
        "a link to a folder is walked",
        FILES,
        "entry.is_dir(follow_symlinks=False)",
        "entry.is_dir()",
        BUCKETS,
    ),
    Mutant(
        "a bot's folder may be a link",
        FILES,
        "if Path(real(base)) != Path(real(self.root), prefix):",
        "if False:",
        BUCKETS,
    ),
    Mutant(
        "a folder that is missing is empty",
        FILES,
        "if not self.home.is_dir():",
        "if False:",
        BUCKETS,
    ),
    Mutant(
        "plain HTTP to anywhere",
        ENDPOINTS,
        'if parts.scheme == "http" and not is_loopback(parts.hostname):',
        "if False:",
        BUCKETS,
    ),
)
