#!/bin/sh
# /usr/local/bin/runbook: the command line for people of this host. It runs as the user of the runs, with their settings
# and their store; who you are is known from your login, which sudo does not change.
[ "$(id -un)" = hoodcloud-runbooks ] || exec sudo -u hoodcloud-runbooks -- "$0" "$@"
cd / # a .env of whatever folder you are in has no say
export RUNBOOK_ENV_FILE=/etc/hoodcloud-runbooks/runbooks.env
exec /opt/hoodcloud-runbooks/.venv/bin/runbook "$@"
