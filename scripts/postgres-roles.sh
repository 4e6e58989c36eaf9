#!/bin/sh
# Makes the roles and the database of the service when the PostgreSQL container starts for the first time.
# rts_owner owns the tables (rts init-db); rts_app runs the service.
set -eu
psql -v ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
\set owner `cat /run/secrets/owner`
\set app `cat /run/secrets/app`
CREATE ROLE rts_owner LOGIN PASSWORD :'owner';
CREATE ROLE rts_app LOGIN PASSWORD :'app';
CREATE DATABASE rts OWNER rts_owner;
REVOKE ALL ON DATABASE rts FROM PUBLIC;
GRANT CONNECT ON DATABASE rts TO rts_app;
SQL
