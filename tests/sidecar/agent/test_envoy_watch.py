"""What is known of Envoy."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sidecar.agent.envoy import EnvoyExited, EnvoyStarted
from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.envoy_watch import EnvoyWatch
from store.errors import AgentUnavailable


class Admin(AdminClient):
    """Says each answer once, the last one for ever; an exception is raised, None never returns."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def server_info(self) -> object:
        self.asked += 1
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if answer is None:
            await trio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_the_end_of_a_stream_that_a_newer_one_replaced_is_of_no_interest() -> None:
    watch = EnvoyWatch()
    watch.opened(1)
    watch.opened(2)
    watch.is_current = True
    watch.closed(1)
    assert watch.connected
    assert watch.is_current
    watch.closed(2)
    assert not watch.connected
    assert not watch.is_current


def test_a_new_stream_has_nothing_in_force_yet() -> None:
    watch = EnvoyWatch()
    watch.opened(1)
    watch.is_current = True
    watch.opened(2)
    assert watch.connected
    assert not watch.is_current


def test_starts_ends_and_their_reasons_are_described() -> None:
    watch = EnvoyWatch()
    assert watch.describe(0.0)["state"] == "starting"
    watch.note(EnvoyStarted(7, adopted=True), 10.0)
    row = watch.describe(15.0)
    assert (row["state"], row["pid"], row["adopted"], row["uptime_s"]) == ("running", 7, True, 5.0)
    watch.note(EnvoyExited(7, -9, 5.0, 0.1, "out of memory"), 15.0)
    row = watch.describe(15.0)
    assert (row["state"], row["pid"], row["uptime_s"]) == ("backoff", None, 0.0)
    assert "status -9: out of memory" in row["error"]
    watch.note(EnvoyStarted(8, adopted=False), 15.1)
    row = watch.describe(15.1)
    assert (row["state"], row["error"], row["restarts"]) == ("running", "", 1)


def test_an_envoy_of_a_unit_of_its_own_runs_while_it_is_connected() -> None:
    watch = EnvoyWatch()
    watch.opened(1)
    assert watch.describe(0.0)["state"] == "running"


async def test_the_version_of_each_envoy_is_asked_for_until_it_answers(
    autojump_clock: MockClock,
) -> None:
    watch = EnvoyWatch()
    admin = Admin(
        AgentUnavailable("not yet"), None, {"version": "0123abcd/1.40.0/Clean/RELEASE/BoringSSL"}
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.learn_versions, admin)
        await trio.sleep(10)
        assert admin.asked == 0, "nobody is connected"
        watch.opened(1)
        await trio.sleep(10)
        assert watch.describe(0.0)["version"] == "1.40.0"
        assert admin.asked == 3
        watch.opened(2)
        await wait_all_tasks_blocked()
        assert admin.asked == 4, "another Envoy may be another version"
        nursery.cancel_scope.cancel()
