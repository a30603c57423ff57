"""With the grants of `deploy/terraform` each process may do what it does, and no more."""

import re
from collections.abc import Collection
from typing import Final

import pytest

from botdel.doctor.grants import AGENT, PUBLISHER, SUBSCRIBER
from deletion.errors import TopologyMissing
from tests.architecture.documents import table
from tests.architecture.permitted import Grant, MayOnly
from tests.architecture.terraform_site import NAMES, PROJECT, SERVICES, module
from tests.architecture.working import WORK
from tests.support.paths import DOCS, ROOT
from tests.support.terraform import MODULE, Module, texts


def grants(read: Module) -> set[Grant]:
    return {
        Grant(each["member"], each["role"], f"projects/{each['project']}/{kind}s/{each[kind]}")
        for kind in ("topic", "subscription")
        for each in read.instances(f"google_pubsub_{kind}_iam_member")
    }


SPARE: Final = {"delete_subscription", "modify_ack_deadline", "get_iam_policy"}
"""Calls of the doctor and its canary, and those beside an emulator."""


def test_there_is_no_call_that_these_tests_do_not_know() -> None:
    calls = re.compile(r"\b_?(?:client|publisher|subscriber)\.(\w+)\(")
    texts_of = [path.read_text() for path in (ROOT / "deletion/adapters/pubsub").glob("*.py")]
    found = {call for text in texts_of for call in calls.findall(text)}
    assert {"pull", "seek", "update_subscription"} < found
    assert {call for call in found - SPARE if not hasattr(MayOnly, call)} == set()


def agents(held: Collection[Grant]) -> set[Grant]:
    return {each for each in held if AGENT.fullmatch(each.who)}


@pytest.mark.proves("terraform")
@pytest.mark.parametrize("who", WORK)
async def test_each_process_may_do_what_it_does(who: str) -> None:
    held = {each for each in grants(module()) if each.who == who}
    await WORK[who](MayOnly(held))


@pytest.mark.proves("terraform")
@pytest.mark.parametrize("who", WORK)
async def test_each_process_needs_every_right_that_it_has(who: str) -> None:
    held = {each for each in grants(module()) if each.who == who}
    assert held
    for each in held:
        with pytest.raises(TopologyMissing):
            await WORK[who](MayOnly(held - {each}))


@pytest.mark.proves("terraform")
def test_nobody_else_has_a_right_and_none_is_on_the_project() -> None:
    read = module()
    assert {each.who for each in grants(read) - agents(grants(read))} == set(WORK)
    resources = {type_ for type_, _ in read.resources if "_iam_" in type_}
    assert resources == {
        "google_pubsub_subscription_iam_member",
        "google_pubsub_topic_iam_member",
        "google_service_account_iam_member",
    }


@pytest.mark.proves("terraform")
def test_pubsub_itself_may_forward_dead_letters() -> None:
    held = {(each.role, each.on) for each in agents(grants(module()))}
    sources = {(SUBSCRIBER, NAMES.subscription(each)) for each in SERVICES}
    assert held == {(PUBLISHER, NAMES.dead_letter_topic)} | sources


BLOCKS: Final = re.findall(
    r'^(resource "google_pubsub_\w+_iam_member" "(\w+)" \{.*?^\}\n)',
    texts(MODULE)["grants.tf"],
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize(("block", "name"), BLOCKS, ids=[name for _, name in BLOCKS])
async def test_a_grant_that_is_missing_would_be_noticed(block: str, name: str) -> None:
    held = grants(module(block))
    if "agent" in name:
        assert agents(held) != agents(grants(module()))
        return
    lacking = {each.who for each in grants(module()) - held}
    assert lacking
    for who in lacking:
        with pytest.raises(TopologyMissing):
            await WORK[who](MayOnly({each for each in held if each.who == who}))


def test_the_runbook_names_the_same_roles() -> None:
    """Its table is for whoever grants by hand."""
    rows = table(DOCS / "runbooks" / "deploy.md", "who", "role", "on")
    for who in ("gateway", "consumer", "recovery", "console", "topology apply"):
        named = {
            role
            for row in rows
            if who in row["who"] or (row["who"] == "the same" and who == "topology apply")
            for role in re.findall(r"roles/pubsub\.\w+", row["role"])
        }
        held = {each.role for each in grants(module()) if each.who.split("-")[0] == who.split()[0]}
        assert named == held, who


@pytest.mark.proves("terraform")
def test_each_kubernetes_account_acts_as_the_account_of_its_process() -> None:
    bound = {
        (each["service_account_id"], each["member"])
        for each in module().instances("google_service_account_iam_member")
    }
    assert bound == {
        (who, f"serviceAccount:{PROJECT}.svc.id.goog[bot-deletion/botdel-{who}]") for who in WORK
    }
