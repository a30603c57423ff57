"""What the tests of the doctor begin with: names, and an environment that is as it should be."""

from collections.abc import Sequence

from deletion.adapters.pubsub.names import Names
from deletion.doctor import Finding
from tests.support.factories import SERVICE

NAMES = Names("a-project", "bot-deletion")
PATH = NAMES.subscription(SERVICE)
TOKEN = "0123456789abcdef"
NEEDED = {
    "GOOGLE_CLOUD_PROJECT": "a-project",
    "BOTDEL_MONGODB_URI": "mongodb://127.0.0.1/",
    "BOTDEL_RECOVERY_TOKEN": TOKEN,
    "BOTDEL_GATEWAY_TOKENS": TOKEN,
}
AGENT = "serviceAccount:service-123456@gcp-sa-pubsub.iam.gserviceaccount.com"


def by_check(findings: Sequence[Finding]) -> dict[str, Finding]:
    found = {finding.check: finding for finding in findings}
    assert len(found) == len(findings), "each check has a name of its own"
    return found
