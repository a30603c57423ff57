"""`botdel doctor` on the real parts: all is well, and each thing that is not is found."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from google.pubsub_v1.types import Subscription

from botdel.doctor.canary import DATA
from botdel.local.processes import free_port
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import BY_EVENTS, BY_SILENCE
from deletion.job import Status, StepProgress
from tests.support.alerts import webhook
from tests.support.commands import botdel
from tests.support.pipeline import (
    SERVICE,
    WITHIN,
    Location,
    Pipeline,
    letters,
    listening,
    pipeline_at,
    publish,
    pubsub,
    request_placed,
    until,
)
from tests.support.recovering import SETTINGS, job, recovering

SUBSCRIPTION = f"subscription bot-deletion.{SERVICE}"
LEDGER = "bot-deletion.ledger"
LOOKED_AT = {
    "topic bot-deletion",
    "topic bot-deletion.dead-letter",
    "topic bot-deletion.completed",
    "subscription bot-deletion.dead-letter",
    "subscription bot-deletion.ledger",
    SUBSCRIPTION,
    "indexes of deletion_jobs",
    "indexes of dead_letters",
    "indexes of deletion_requests",
    "indexes of operator_actions",
    "indexes of operator_previews",
    "indexes of recovery_sweeps",
    "retention of complete jobs",
    "retention of settled requests",
    f"step {SERVICE}/messages",
    f"bots of step {SERVICE}/messages",
    f"grace period of {SERVICE}",
    "breakers",
    f"service {SERVICE}",
    "heartbeat",
    "canary",
}
"""Every check that needs the broker or the database."""
HASTY = ("--canary-timeout", "3")
NO_CANARY = "--no-canary"


@pytest.fixture
async def installed(location: Location) -> AsyncIterator[Pipeline]:
    """A service with data, and the topology as the product makes it."""
    async with pipeline_at(location, settings=SETTINGS) as pipeline:
        code, lines = await botdel(pipeline, "topology", "apply", "--plan", str(pipeline.plan))
        assert code == 0, lines
        yield pipeline


async def examined(pipeline: Pipeline, *options: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code and the findings by their checks."""
    code, lines = await botdel(pipeline, "doctor", *options, "--json")
    findings = json.loads(lines[-1])
    return code, {finding["check"]: finding for finding in findings}


def failures(findings: dict[str, dict[str, str]]) -> set[str]:
    return {check for check, finding in findings.items() if finding["status"] == "failed"}


async def attached(pipeline: Pipeline) -> set[str]:
    """The subscriptions of the topic."""
    async with pubsub(pipeline) as (publisher, _):
        pager = await publisher.list_topic_subscriptions(topic=pipeline.names.topic)
        return {name.rpartition("/")[2] async for name in pager}


# --- all is well


@pytest.mark.proves("canary")
async def test_all_is_well_and_a_canary_disturbs_no_consumer_and_alerts_nobody(
    installed: Pipeline,
) -> None:
    (bot,) = await installed.fill(25)
    async with webhook() as (url, sent):
        installed.settings |= {"BOTDEL_ALERT_WEBHOOK_URL": url, "BOTDEL_CONSUMER_PORT": "0"}
        async with recovering(installed), installed.consumer() as consumer:
            await listening(consumer)
            await publish(installed, request_placed(bot))
            await until(lambda: is_complete(installed, bot))
            code, found = await examined(installed, "--plan", str(installed.plan))
            assert (code, failures(found)) == (0, set()), found
            others = {name: each for name, each in found.items() if not name.startswith("bots of ")}
            assert {finding["status"] for finding in others.values()} == {"ok"}, found
            assert len(found) - len(others) == 1, "one plan alone has nothing to be compared with"
            stored = await installed.client[installed.database]["doctor_results"].find_one({})
            assert stored is not None
            assert [each["check"] for each in stored["findings"]] == list(found)
            (marker,) = await installed.fill(5)
            await publish(installed, request_placed(marker))
            await until(lambda: is_complete(installed, marker))
    assert set(found) >= LOOKED_AT | {"settings of gateway", "clock"}
    [letter] = await letters(installed)
    assert letter["service"].startswith("doctor."), "the consumer has quarantined nothing"
    assert letter["status"] == "discarded"
    assert sent == []
    assert await installed.jobs.count_documents({}) == 2
    assert await attached(installed) == {f"bot-deletion.{SERVICE}", LEDGER}


async def test_what_is_printed_is_a_line_for_each_check(installed: Pipeline) -> None:
    code, lines = await botdel(installed, "doctor", NO_CANARY)
    assert code == 0, lines
    assert "✓ topic bot-deletion: as it should be" in lines
    assert any(line.startswith("! alerts: ") and " → set BOTDEL_ALERT_" in line for line in lines)
    assert {line[0] for line in lines} == {"✓", "!"}


async def test_a_service_without_its_plan_is_checked_and_said_to_be(installed: Pipeline) -> None:
    async with pubsub(installed) as (_, subscriber):
        path = installed.names.subscription("analytics")
        await subscriber.create_subscription(name=path, topic=installed.names.topic)
    _, found = await examined(installed, NO_CANARY)
    assert "without its --plan" in found[SUBSCRIPTION]["detail"]
    assert failures(found) == {"subscription bot-deletion.analytics"}


# --- a canary that is lost


@pytest.mark.proves("canary")
async def test_without_recovery_the_canary_says_so_and_nothing_is_left_behind(
    installed: Pipeline,
) -> None:
    code, found = await examined(installed, *HASTY)
    assert (code, failures(found)) == (1, {"canary"})
    assert found["canary"]["detail"].startswith("lost at recovery: delivered 5 times")
    assert "run `botdel recovery`" in found["canary"]["remedy"]
    assert await attached(installed) == {f"bot-deletion.{SERVICE}", LEDGER}

    async with recovering(installed):
        code, found = await examined(installed)
    assert (code, failures(found)) == (0, set())
    assert [letter["status"] for letter in await letters(installed)] == ["discarded"] * 2


async def test_events_under_way_reach_their_service_in_spite_of_a_canary(
    installed: Pipeline,
) -> None:
    """The emulator ignores filters: the canary's subscription gets copies of them."""
    bots = await installed.fill(3, 3, 3)
    examining = asyncio.create_task(examined(installed, *HASTY))
    await until(lambda: has_a_canary(installed))
    await publish(installed, *map(request_placed, bots))
    assert failures((await examining)[1]) == {"canary"}, "there is no recovery yet"
    installed.settings["BOTDEL_CONSUMER_PORT"] = "0"
    async with recovering(installed), installed.consumer():
        for bot in bots:
            await until(partial(is_complete, installed, bot))
        code, found = await examined(installed)
    assert code == 0, failures(found)
    assert [bytes(letter["data"]) for letter in await letters(installed)] == [DATA] * 2


async def test_an_operator_who_does_not_wait_for_the_canary_leaves_nothing_behind(
    installed: Pipeline,
) -> None:
    async with installed.process("doctor", "botdel.cli", "doctor") as doctor:
        await until(lambda: has_a_canary(installed))
        doctor.signal(signal.SIGINT)
        assert await doctor.wait(WITHIN) != 0
    assert await attached(installed) == {f"bot-deletion.{SERVICE}", LEDGER}


# --- what is wrong


async def test_subscriptions_with_other_settings_are_found_and_not_changed(
    installed: Pipeline,
) -> None:
    path = installed.names.subscription(SERVICE)
    async with pubsub(installed) as (_, subscriber):
        await subscriber.delete_subscription(subscription=path)
        wrong = Subscription(name=path, topic=installed.names.topic, filter='attributes:"service"')
        before = await subscriber.create_subscription(wrong)
        code, found = await examined(installed, "--plan", str(installed.plan), NO_CANARY)
        assert await subscriber.get_subscription(subscription=path) == before
    assert (code, failures(found)) == (1, {SUBSCRIPTION})
    detail = found[SUBSCRIPTION]["detail"]
    assert """filter is 'attributes:"service"', expected 'NOT attributes:service OR """ in detail
    assert "dead_letter_policy.max_delivery_attempts is 0, expected 5" in detail
    assert "empty it" in found[SUBSCRIPTION]["remedy"]


async def test_subscriptions_and_topics_that_are_missing_are_found_and_not_created(
    installed: Pipeline,
) -> None:
    async with pubsub(installed) as (_, subscriber):
        await subscriber.delete_subscription(subscription=installed.names.subscription(SERVICE))
    code, found = await examined(installed, "--plan", str(installed.plan), NO_CANARY)
    assert (code, failures(found)) == (1, {SUBSCRIPTION})
    assert found["subscriptions"]["status"] == "warning", "no service has one"
    assert await attached(installed) == {LEDGER}

    async with pubsub(installed) as (publisher, _):
        await publisher.delete_topic(topic=installed.names.dead_letter_topic)
    code, found = await examined(installed, "--plan", str(installed.plan), *HASTY)
    assert code == 1
    dead_letter = "bot-deletion.dead-letter"
    assert failures(found) == {
        SUBSCRIPTION,
        f"topic {dead_letter}",
        f"subscription {dead_letter}",
        "canary",
    }
    assert "does not exist" in found[SUBSCRIPTION]["detail"]
    assert "botdel topology apply" in found[SUBSCRIPTION]["remedy"]
    assert "_deleted-topic_" in found[f"subscription {dead_letter}"]["detail"]


async def test_indexes_that_are_missing_or_others_are_found(installed: Pipeline) -> None:
    database = installed.client[installed.database]
    await installed.jobs.drop_index(BY_EVENTS)
    await installed.jobs.drop_index(BY_SILENCE)
    await installed.jobs.create_index([("status", -1)], name=BY_SILENCE)
    await database["recovery_sweeps"].drop_index("one_running")
    await installed.messages.drop_indexes()
    code, found = await examined(installed, "--plan", str(installed.plan), NO_CANARY)
    assert code == 1
    step = f"step {SERVICE}/messages"
    jobs, sweeps = "indexes of deletion_jobs", "indexes of recovery_sweeps"
    assert failures(found) == {jobs, sweeps, step}
    assert BY_EVENTS in found[jobs]["detail"]
    assert f'dropIndex("{BY_SILENCE}")' in found[jobs]["remedy"]
    assert found[sweeps]["remedy"] == "run `botdel topology apply`"
    assert "(botId, _id)" in found[step]["detail"]

    await installed.jobs.drop_index(BY_SILENCE)
    assert (await botdel(installed, "topology", "apply", "--plan", str(installed.plan)))[0] == 0
    code, found = await examined(installed, "--plan", str(installed.plan), NO_CANARY)
    assert (code, failures(found)) == (0, set()), "what it names is what helps"


async def test_a_retention_that_is_not_the_setting_s_is_found(installed: Pipeline) -> None:
    retention = "retention of complete jobs"
    installed.settings["BOTDEL_KEEP_COMPLETE_DAYS"] = "31"
    code, found = await examined(installed, NO_CANARY)
    assert (code, failures(found)) == (1, {retention})
    assert found[retention]["remedy"] == "run `botdel topology apply`"
    assert (await botdel(installed, "topology", "apply"))[0] == 0
    code, found = await examined(installed, NO_CANARY)
    assert (code, failures(found)) == (0, set()), "what it names is what helps"
    installed.settings["BOTDEL_KEEP_COMPLETE_DAYS"] = "90"
    code, found = await examined(installed, NO_CANARY)
    assert (code, failures(found)) == (1, {retention})
    assert "after 31 days, and BOTDEL_KEEP_COMPLETE_DAYS is 90" in found[retention]["detail"]
    assert "dropIndex" in found[retention]["remedy"]


async def test_periods_that_do_not_fit_are_found(installed: Pipeline) -> None:
    slow = StepProgress("messages", batches=1, slowest=31.5)
    await installed.jobs.insert_one(to_document(replace(job(Status.COMPLETE), steps=(slow,))))
    code, found = await examined(installed, "--plan", str(installed.plan), NO_CANARY)
    grace = f"grace period of {SERVICE}"
    assert (code, failures(found)) == (1, {grace})
    assert "took 32 s; a run has 4 s" in found[grace]["detail"]
    assert "BOTDEL_SHUTDOWN_GRACE_SECONDS above 63" in found[grace]["remedy"]

    installed.settings["BOTDEL_SHUTDOWN_GRACE_SECONDS"] = "64"
    code, found = await examined(installed, "--plan", str(installed.plan), NO_CANARY)
    assert (code, failures(found)) == (0, set())


async def test_credentials_that_are_missing_are_found_beside_everything_else(
    installed: Pipeline,
) -> None:
    installed.settings |= {"BOTDEL_GATEWAY_TOKENS": "", "BOTDEL_RECOVERY_TOKEN": "hunter22"}
    code, found = await examined(installed, NO_CANARY)
    assert (code, failures(found)) == (1, {"settings of gateway", "settings of recovery"})
    assert "BOTDEL_GATEWAY_TOKENS: " in found["settings of gateway"]["detail"]
    assert "BOTDEL_RECOVERY_TOKEN: " in found["settings of recovery"]["detail"]
    assert "hunter22" not in json.dumps(found)
    assert found["topic bot-deletion"]["status"] == "ok"


async def test_a_broker_and_a_database_that_are_away_are_found_in_bounded_time(
    installed: Pipeline,
) -> None:
    installed.settings |= {
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{free_port()}",
        "BOTDEL_MONGODB_URI": f"mongodb://127.0.0.1:{free_port()}/",
    }
    code, found = await examined(installed, "--plan", str(installed.plan))
    assert code == 1
    one_by_one = {f"service {SERVICE}"}
    assert failures(found) == LOOKED_AT - one_by_one | {"services", "subscriptions"}
    assert "PUBSUB_EMULATOR_HOST" in found["canary"]["remedy"]
    assert "BOTDEL_MONGODB_URI" in found["heartbeat"]["remedy"]


@pytest.mark.proves("broken-step-hides-nothing")
async def test_a_plan_that_cannot_be_used_here_is_found_and_everything_else_is_looked_at(
    installed: Pipeline,
) -> None:
    """Nobody has the variables and the modules of every team."""
    none, records = installed.folder / "none.yaml", installed.folder / "records.yaml"
    jobs = f"{{database: {installed.database}, collection: deletion_jobs, field: bot}}"
    records.write_text(f"service: records\nsteps:\n  - {{name: jobs, mongo: {jobs}}}\n")
    files = (installed.plan, none, records)
    code, found = await examined(
        installed, NO_CANARY, *(option for file in files for option in ("--plan", str(file)))
    )
    plans = {f"plan {none}", f"plan {records}"}
    missing = {"subscription bot-deletion.records", "service records"}
    assert (code, failures(found)) == (1, plans | missing)
    assert LOOKED_AT - {"canary"} <= set(found)


@pytest.mark.proves("subscription-kept")
async def test_a_command_that_deletes_a_subscription_is_for_one_without_jobs_only(
    installed: Pipeline,
) -> None:
    other = installed.folder / "other.yaml"
    other.write_text(installed.plan.read_text().replace(f"service: {SERVICE}", "service: other"))
    assert (await botdel(installed, "topology", "apply", "--plan", str(other)))[0] == 0
    planned = ("--plan", str(other), NO_CANARY)
    _, found = await examined(installed, *planned)
    assert "subscriptions delete" in found[SUBSCRIPTION]["remedy"]
    _, found = await examined(installed, *planned, "--plan", str(installed.folder / "none.yaml"))
    assert found[SUBSCRIPTION]["remedy"] == "give its --plan too", "that one may be its plan"
    await installed.jobs.insert_one(to_document(job(Status.COMPLETE)))
    _, found = await examined(installed, *planned)
    assert found[SUBSCRIPTION]["remedy"] == "give its --plan too"
    assert (await botdel(installed, "services", "retire", SERVICE, "--why", "tried out"))[0] == 0
    _, found = await examined(installed, *planned)
    assert "deploy.md#removing-a-service" in found[SUBSCRIPTION]["remedy"]


async def has_a_canary(pipeline: Pipeline) -> bool:
    return any(".doctor." in name for name in await attached(pipeline))


async def is_complete(pipeline: Pipeline, bot: str) -> bool:
    return await pipeline.status_of(bot) == "complete"
