#!/bin/bash
# Builds the image, brings the stack up, builds a small dataset through `prefect deployment run`, kills each service in
# the midst of a build with SIGKILL, resumes, and compares digests. Wants root, or a Docker that can be used without:
#   apt-get install docker.io docker-compose debootstrap
# Where no Docker answers it starts an engine of its own; where images cannot be pulled, the base is made by debootstrap
# and the images of PostgreSQL and MinIO are stand-ins. Environment:
#   BASE_IMAGE, POSTGRES_IMAGE, S3_IMAGE  images to use instead; IMAGE: the project's own, not to be built again
#   PIP_CONF                    pip's configuration for a mirror, read during the build alone
#   CA_BUNDLE                   certificates that the base is to trust
#   SERVICES                    which services to kill ("" for none); KEEP=1: leave all up
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch=${SCRATCH:-$(mktemp -d /tmp/spotdiff-docker.XXXXXX)}
project=spotdifftest
export DOCKER_BUILDKIT=1 COMPOSE_PROJECT_NAME=$project
own_engine=

say() { printf '%s %s\n' "$(date +%T)" "$*"; }

compose() {
    if docker compose version > /dev/null 2>&1; then
        docker compose --env-file "$scratch/env" -f docker/compose.yaml "$@"
    else
        docker-compose --env-file "$scratch/env" -f docker/compose.yaml "$@"
    fi
}

end() {
    local code=$?
    if [[ $code -ne 0 && -s $scratch/env ]]; then
        compose ps || true
        compose logs --tail=15 || true
    fi
    if [[ -z ${KEEP:-} ]]; then
        [[ -s $scratch/env ]] && compose down -v --timeout 5 > /dev/null 2>&1
        [[ -n $own_engine ]] && kill "$own_engine"
        [[ -n ${SCRATCH:-} ]] || rm -rf "$scratch"
    fi
    if [[ $code -eq 0 ]]; then say "docker-test: all well"; else say "docker-test: FAILED ($code)"; fi
    exit "$code"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

engine() {
    docker info > /dev/null 2>&1 && return
    say "no Docker answers: starting an engine in $scratch"
    export DOCKER_HOST=unix://$scratch/docker.sock
    dockerd --data-root "$scratch/data" --exec-root "$scratch/exec" -H "$DOCKER_HOST" --pidfile "$scratch/docker.pid" \
        > "$scratch/dockerd.log" 2>&1 &
    own_engine=$!
    for _ in $(seq 60); do
        docker info > /dev/null 2>&1 && return
        sleep 1
    done
    tail "$scratch/dockerd.log"
    return 1
}

images() {
    if [[ -z ${BASE_IMAGE:-} ]]; then
        BASE_IMAGE=spotdiff-base:bookworm
        if ! docker image inspect "$BASE_IMAGE" > /dev/null 2>&1; then
            say "base: debootstrap"
            debootstrap --variant=minbase --include=ca-certificates bookworm "$scratch/base" > "$scratch/base.log"
            umount "$scratch/base/proc" 2> /dev/null || true
            [[ -z ${CA_BUNDLE:-} ]] || cp "$CA_BUNDLE" "$scratch/base/etc/ssl/certs/ca-certificates.crt"
            tar -C "$scratch/base" --exclude='./proc/*' --exclude='./sys/*' -c . | docker import - "$BASE_IMAGE" > /dev/null
        fi
    fi
    if [[ -n ${IMAGE:-} ]]; then
        docker tag "$IMAGE" spotdiff10k:test
    else
        say "image"
        docker build --network host -q -f docker/Dockerfile --build-arg BASE_IMAGE="$BASE_IMAGE" \
            ${PIP_CONF:+--secret id=pip,src="$PIP_CONF"} -t spotdiff10k:test . > /dev/null
    fi
    if [[ -z ${POSTGRES_IMAGE:-} ]]; then
        POSTGRES_IMAGE=spotdiff-postgres:test
        docker build --network host -q -f docker/standins/postgres.Dockerfile --build-arg BASE_IMAGE="$BASE_IMAGE" \
            -t "$POSTGRES_IMAGE" . > /dev/null
    fi
    if [[ -z ${S3_IMAGE:-} ]]; then
        S3_IMAGE=spotdiff-s3:test
        docker build --network host -q -f docker/standins/s3.Dockerfile --build-arg BASE_IMAGE=spotdiff10k:test \
            ${PIP_CONF:+--secret id=pip,src="$PIP_CONF"} -t "$S3_IMAGE" . > /dev/null
    fi
    say "images: $(docker images --format '{{.Repository}} {{.Size}},' | sort | tr '\n' ' ')"
    [[ $(docker run --rm spotdiff10k:test id -u) != 0 ]] || { say "the image runs as root"; return 1; }
}

settings() {
    [[ ! -s $scratch/env ]] || return 0 # of a run that was left up
    sed -e "s|^SPOTDIFF_IMAGE=.*|SPOTDIFF_IMAGE=spotdiff10k:test|" -e "s|^POSTGRES_IMAGE=.*|POSTGRES_IMAGE=$POSTGRES_IMAGE|" \
        -e "s|^POSTGRES_PASSWORD=.*|POSTGRES_PASSWORD=$(openssl rand -hex 12)|" \
        -e "s|^PREFECT_AUTH=.*|PREFECT_AUTH=admin:$(openssl rand -hex 12)|" \
        -e "s|^COMPOSE_PROFILES=.*|COMPOSE_PROFILES=$COMPOSE_PROFILES|" \
        -e "s|^AWS_ENDPOINT_URL=.*|AWS_ENDPOINT_URL=http://s3:9000|" \
        -e "s|^AWS_ACCESS_KEY_ID=.*|AWS_ACCESS_KEY_ID=$(openssl rand -hex 10)|" \
        -e "s|^AWS_SECRET_ACCESS_KEY=.*|AWS_SECRET_ACCESS_KEY=$(openssl rand -hex 20)|" \
        docker/.env.example > "$scratch/env"
    echo "S3_IMAGE=$S3_IMAGE" >> "$scratch/env"
}

inside() { compose exec -T prefect-worker "$@"; }

healthy() { # SERVICE...: until Docker calls each healthy
    local service id
    for service in "$@"; do
        for _ in $(seq 150); do
            id=$(compose ps -q "$service")
            [[ -n $id && $(docker inspect -f '{{.State.Health.Status}}' "$id") == healthy ]] && continue 2
            sleep 2
        done
        say "$service does not get healthy"
        return 1
    done
}

place() { # NAME: where the build NAME keeps its files: those that lose the S3 service, in it
    if [[ $1 == *s3 ]]; then echo s3://lab; else echo /data; fi
}

start() { # NAME: starts the build NAME; prints the flow run's id
    inside prefect deployment run build-dataset/gpu-cluster \
        -p sources='["/opt/spotdiff/examples/sources"]' -p poses=/opt/spotdiff/examples/sources/poses.json \
        -p limit=2 -p subjects=2 -p backgrounds=3 -p shard_size=1 \
        -p work="$(place "$1")/work" -p manifest="$(place "$1")/$1.parquet" \
        | sed -n 's/.*UUID: \([0-9a-f-]*\).*/\1/p'
}

state() { # RUN: its state's type
    inside python -c "
from uuid import UUID
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    state = client.read_flow_run(UUID('$1')).state
print(state.type.value, (state.message or '').splitlines()[:1])" 2> /dev/null || echo UNKNOWN
}

ended() { # RUN: waits for its end; prints its state
    local now=
    for _ in $(seq 150); do
        now=$(state "$1")
        [[ $now =~ ^(COMPLETED|FAILED|CRASHED|CANCELLED) ]] && { echo "$now"; return; }
        sleep 3
    done
    echo "STILL $now"
}

digest() { # NAME
    inside spotdiff validate "$(place "$1")/$1.parquet" > /dev/null || return 1
    inside python -c "
from pipeline.manifest.read import Manifest
manifest = Manifest('$(place "$1")/$1.parquet')
print(manifest.rows, manifest.digest)"
}

fragments() { # NAME: how many there are
    if [[ $(place "$1") == /data ]]; then
        inside sh -c "ls /data/work/$1-*/*/*.parquet 2> /dev/null | wc -l"
    else
        inside python -c "
import s3fs
print(len(s3fs.S3FileSystem().glob('lab/work/$1-*/*/*.parquet')))"
    fi
}

finished() { # SERVICE RUN NAME: waits until it is completed, retries a run that ended otherwise; prints rows and digest
    local said tries=0 run=$2
    said=$(ended "$run")
    say "$1: the run ended $said" >&2
    while [[ ! $said =~ ^COMPLETED ]]; do
        tries=$((tries + 1))
        [[ $tries -le 3 ]] || return 1
        if [[ $said =~ ^STILL ]]; then # its bookkeeping is lost; the files are not
            run=$(start "$3")
        else
            inside prefect flow-run retry "$run" > /dev/null
            sleep 3
        fi
        said=$(ended "$run")
        say "$1: retried, it ended $said" >&2
    done
    digest "$3"
}

killed() { # SERVICE: SIGKILL to its first process, from outside; Docker starts it again
    local pid
    pid=$(docker inspect -f '{{.State.Pid}}' "$(compose ps -q "$1")")
    kill -9 "$pid"
}

export COMPOSE_PROFILES=cpu,s3
services=(postgres prefect-server ray-head ray-worker-cpu prefect-worker)
engine
images
settings
say "up"
compose up -d > "$scratch/up.log" 2>&1 || { tail "$scratch/up.log"; exit 1; }
healthy "${services[@]}"
compose ps
say "unauthenticated: $(inside python -c "
import urllib.request, urllib.error
try: urllib.request.urlopen('http://prefect-server:4200/api/flows/count', data=b'{}')
except urllib.error.HTTPError as error: print('refused with', error.code)")"
inside python -c "import s3fs; s3fs.S3FileSystem().mkdir('lab')"

run=$(start calm)
due=$(finished "a calm build" "$run" calm)
say "rows and digest: $due"

for service in ${SERVICES-ray-worker-cpu prefect-worker ray-head prefect-server postgres s3}; do
    name=without-$service
    run=$(start "$name")
    for try in $(seq 150); do
        [[ $(fragments "$name") -ge 2 ]] && break
        if ((try % 15 == 0)) && [[ $(state "$run") =~ ^(FAILED|CRASHED) ]]; then # before there was anything to kill
            inside prefect flow-run retry "$run" > /dev/null
        fi
        sleep 1
    done
    say "$service: killed with $(fragments "$name") of 8 fragments there"
    killed "$service"
    sleep 5
    healthy "${services[@]}"
    found=$(finished "$service" "$run" "$name")
    say "$service: rows and digest $found"
    [[ $found == "$due" ]] || { say "$service: another digest"; exit 1; }
done
