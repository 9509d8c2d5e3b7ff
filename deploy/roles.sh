#!/bin/sh
# Run by the database's image when it makes the database: the role that the service works as, which owns nothing.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$(cat /run/secrets/service_password)" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE mien_service LOGIN PASSWORD :'password';
GRANT CONNECT ON DATABASE mien TO mien_service;
SQL
