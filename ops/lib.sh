# shellcheck shell=bash
# What ops/run, ops/test and ops/bench share. Sourced, from the repository's root, by bash with `set -euo pipefail`.

started_at=$SECONDS
# What `start` started, by index.
child_pids=()
child_names=()
child_logs=()

# say TEXT…: a line of progress with the time since the start.
say() {
    local elapsed=$((SECONDS - started_at))
    printf '[%02d:%02d] %s\n' $((elapsed / 60)) $((elapsed % 60)) "$*" >&2
}

# fail TEXT…: ends the script.
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# need_packages NAME…: installs the Debian packages that are not here yet; as root, or through sudo.
need_packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "these Debian packages are missing, and there is no apt-get to install them: ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "these Debian packages are missing: ${missing[*]}. Install them as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        "${as_root[@]}" apt-get update -qq >/dev/null
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    }
}

# What building needs.
need_build_tools() {
    command -v swift >/dev/null || fail "there is no Swift 6.3 toolchain in PATH: see https://www.swift.org/install"
    need_packages libpq-dev libcurl4-openssl-dev libhiredis-dev libsodium-dev libsqlite3-dev libssl-dev zlib1g-dev pkg-config curl jq python3
}

# build debug|release PRODUCT…: builds products by name and prints how it goes. Sets `bin`.
build() {
    local kind=$1 product
    shift
    local options=(-c "$kind")
    [ -z "${WEIR_BUILD_PATH:-}" ] || options+=(--scratch-path "$WEIR_BUILD_PATH")
    for product in "$@"; do
        say "building $product ($kind); the first build takes several minutes"
        run_build "${options[@]}" --product "$product"
    done
    bin=$(swift build "${options[@]}" --show-bin-path)
}

# swift build with its steps on one line of a terminal, every 100th elsewhere; its whole output when it fails.
run_build() {
    local log
    log=$(mktemp)
    if swift build "$@" 2>&1 | tee "$log" | awk -v tty="$([ -t 2 ] && echo 1)" '
        /^\[[0-9]+\/[0-9]+\]/ {
            split(substr($1, 2), part, "[]/]")
            if (tty) printf "\r\033[K        %s", $1 > "/dev/stderr"
            else if (part[1] - last >= 100) { print "        " $1 > "/dev/stderr"; last = part[1] }
        }
        END { if (tty) printf "\r\033[K" > "/dev/stderr" }'; then
        rm -f "$log"
    else
        grep -E 'error:|warning: unable' "$log" >&2 || tail -n 50 "$log" >&2
        rm -f "$log"
        fail "the build failed"
    fi
}

# need_free_port NUMBER WHAT VARIABLE: ends the script when something else listens there.
need_free_port() {
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
        fail "port $1, for $2, is taken by another program. Stop that, or choose another port: $3=… $0"
    fi
}

# start NAME LOG COMMAND…: starts a program in the background; it is stopped when the script ends.
start() {
    local name=$1 log=$2
    shift 2
    # A process group of its own: Ctrl-C reaches this script first, which then stops them in order.
    setsid "$@" >>"$log" 2>&1 &
    child_pids+=("$!")
    child_names+=("$name")
    child_logs+=("$log")
    last_pid=$!
    last_name=$name
    last_log=$log
}

# await WHAT URL [SECONDS]: waits until the URL answers 200, as long as the program started last runs.
await() {
    local what=$1 url=$2 limit=${3:-60} begun=$SECONDS
    until curl -fsS -o /dev/null --max-time 2 "$url" 2>/dev/null; do
        kill -0 "$last_pid" 2>/dev/null || {
            tail -n 30 "$last_log" >&2
            fail "$last_name ended; its log is $last_log"
        }
        if [ $((SECONDS - begun)) -ge "$limit" ]; then
            tail -n 30 "$last_log" >&2
            fail "$what did not come within $limit s; the log is $last_log"
        fi
        sleep 0.1
    done
}

# Stops what `start` started, last first, by process id.
stop_children() {
    local index pid
    for ((index = ${#child_pids[@]} - 1; index >= 0; index--)); do
        pid=${child_pids[index]}
        kill -TERM "$pid" 2>/dev/null || continue
        for _ in $(seq 1 150); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
    child_pids=()
    child_names=()
    child_logs=()
}

# The newest Postgres of Debian; its programs are not in PATH.
postgres_bin() {
    local found
    found=$(find /usr/lib/postgresql -maxdepth 2 -name bin -type d 2>/dev/null | sort -V | tail -n 1)
    [ -n "$found" ] || fail "Postgres is not installed: apt-get install postgresql"
    printf '%s\n' "$found"
}

# as_postgres_owner COMMAND…: Postgres refuses to run as root.
as_postgres_owner() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && exec runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

# postgres_start FOLDER PORT [MORE]: a cluster of our own on loopback; made when absent. Password-less, so loopback and our socket only.
postgres_start() {
    local folder=$1 port=$2 more=${3:-} programs
    programs=$(postgres_bin)
    if [ ! -f "$folder/db/PG_VERSION" ]; then
        mkdir -p "$folder"
        rm -rf "$folder/db"
        if [ "$(id -u)" -eq 0 ]; then chown postgres "$folder"; fi
        as_postgres_owner "$programs/initdb" -D "$folder/db" -U weir --auth=trust -E UTF8 >/dev/null
    fi
    # A socket's path must be short, and the folder may lie deep: the socket goes to a folder of its own.
    local socket
    socket=$(as_postgres_owner mktemp -d /tmp/weir-pg.XXXXXX)
    as_postgres_owner "$programs/pg_ctl" -D "$folder/db" -w -t 60 -l "$folder/log" \
        -o "-p $port -k $socket -c listen_addresses=127.0.0.1 -c max_connections=200 $more" start >/dev/null ||
        fail "Postgres did not start; its log is $folder/log"
    printf '%s\n' "$socket" >"$folder/socket" 2>/dev/null || true
    postgres_uri="postgresql://weir@127.0.0.1:$port/postgres"
}

# postgres_runs FOLDER: whether a server is running on this folder.
postgres_runs() {
    [ -f "$1/db/PG_VERSION" ] && as_postgres_owner "$(postgres_bin)/pg_ctl" -D "$1/db" status >/dev/null 2>&1
}

# postgres_stop FOLDER [MODE]
postgres_stop() {
    local folder=$1 mode=${2:-fast} socket
    as_postgres_owner "$(postgres_bin)/pg_ctl" -D "$folder/db" -w -m "$mode" stop >/dev/null 2>&1 || true
    socket=$(cat "$folder/socket" 2>/dev/null || true)
    case "$socket" in /tmp/weir-pg.*) rm -rf "$socket" ;; esac
}
