#!/bin/sh
# Waits until every Job of the topology is complete. `kubectl wait --for=condition=complete` would go
# on waiting for a Job that has failed.
#
#   deploy/kubernetes/await_topology.sh [SECONDS]
#
# Prints the Jobs that it waits for on standard error, again whenever they change.
#
# Exits with 0 when all are complete; with 1 when one has failed, or kubectl does; and with 2 after
# SECONDS, by default 25 h, after which Kubernetes ends a Job.
set -eu

ends=$(($(date +%s) + ${1:-90000}))
# A line for each Job: its name, and "Complete", or why it has failed, or nothing.
state='{.status.conditions[?(@.type=="Failed")].reason}{.status.conditions[?(@.type=="Complete")].type}'
each="{range .items[*]}{.metadata.name}{' '}$state{'\n'}{end}"

waiting=
while :; do
    found=$(kubectl -n bot-deletion get job -l app.kubernetes.io/component=topology -o jsonpath="$each")
    if failed=$(echo "$found" | grep -v ' Complete$' | grep ' .'); then
        printf 'failed:\n%s\nkubectl -n bot-deletion logs job/NAME says why\n' "$failed" >&2
        exit 1
    fi
    if [ -n "$found" ] && ! echo "$found" | grep -q ' $'; then
        echo "$found"
        exit 0
    fi
    pending=$(echo "${found:-no Job of the topology exists }" | sed -n 's/ $//p')
    if [ "$pending" != "$waiting" ]; then
        printf 'waiting for:\n%s\n' "$pending" >&2
        waiting=$pending
    fi
    if [ "$(date +%s)" -ge "$ends" ]; then
        echo 'not complete in time' >&2
        exit 2
    fi
    sleep 5
done
