"""The alert rules: deploy/prometheus/rules.yml. Their cases need promtool."""

from typing import Final

from tests.mutations.mutants.base import ALERTS, Mutant

RULES: Final = "deploy/prometheus/rules.yml"

MUTANTS: Final = (
    Mutant(
        "one replica that does not record dead letters raises an alert",
        RULES,
        "max(botdel_recovery_dead_letters_recording) == 0",
        "min(botdel_recovery_dead_letters_recording) == 0",
        ALERTS,
    ),
    Mutant(
        "a new installation's sweep is overdue at once",
        RULES,
        "            and on () count(count_over_time(botdel_recovery_sweeps_total[1h] offset 26h))\n",
        "",
        ALERTS,
    ),
    Mutant(
        "a gateway that recovered goes on paging for an hour",
        RULES,
        "and botdel:gateway_failures:ratio_rate5m > 14.4 * 0.001",
        "and botdel:gateway_failures:ratio_rate5m >= 0",
        ALERTS,
    ),
)
