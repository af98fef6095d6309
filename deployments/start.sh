#!/bin/sh
# Starts a program in a container: the secrets that Prefect wants as variables are read from their files here, so that
# `docker inspect` does not show them.
set -eu
for file in /run/secrets/PREFECT_*; do
  [ -r "$file" ] || continue
  export "${file##*/}=$(cat "$file")"
done
exec "$@"
