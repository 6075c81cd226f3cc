#!/bin/bash
# What the image `postgres` does when it starts: makes the database at the first start, then serves it.
set -euo pipefail
data=/var/lib/postgresql/data/pgdata
if [[ ! -s $data/PG_VERSION ]]; then
    initdb -D "$data" -U "$POSTGRES_USER" --auth=scram-sha-256 --pwfile=<(printf '%s' "$POSTGRES_PASSWORD") > /dev/null
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
    pg_ctl -D "$data" -w -o "-c listen_addresses= -c unix_socket_directories=/tmp" start > /dev/null
    PGPASSWORD=$POSTGRES_PASSWORD createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -D "$data" -w stop > /dev/null
fi
rm -f "$data/postmaster.pid" # of one that was killed; the volume has one container
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
