#!/bin/sh
# Makes the passwords that compose.yaml reads as files, once, in secrets/ beside this file. What is there stays.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
[ -e secrets/pgpass ] && { echo "secrets/ is made already" >&2; exit 0; }

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
owner=$(password) service=$(password)
printf '%s' "$owner" > secrets/owner_password
printf '%s' "$service" > secrets/service_password
printf 'db:5432:mien:mien:%s\ndb:5432:mien:mien_service:%s\n' "$owner" "$service" > secrets/pgpass
# the folder is shut to everybody else; in it, the database's user and ours (10001) must be able to read
chmod 0444 secrets/owner_password secrets/service_password
# PostgreSQL's library takes passwords only from a file that is its reader's alone
[ "$(id -u)" -ne 0 ] || chown 10001:10001 secrets/pgpass
[ "$(id -u)" -eq 0 ] || echo "run: sudo chown 10001:10001 deploy/secrets/pgpass" >&2
