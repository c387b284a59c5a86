#!/bin/sh
# Jobs of a node: commands that go on without a connection. In "$@": a verb and its arguments.
#
#   start ID LIMIT   run the command on standard input; keep LIMIT bytes of what it prints first, and the last ones
#   list [ID]        a line for each job: ID STATE CODE BEGAN ENDED BYTES COMMAND; times in seconds, - for none
#   output ID FROM   what was printed from byte FROM on
#   stop ID SECONDS  SIGTERM, and SIGKILL if it goes on for so many seconds; then as list
#
# A job is a directory: what there is of `pid`, `code` and `ended` says how far it has come. It is on a disk, so that it
# is there after a reboot, which no command survives.
set -u
umask 077
jobs=/var/tmp/vmcluster-jobs-$(id -u)
kept=50
last_bytes=1048576

fail() { echo "$1" >&2; exit "${2:-1}"; }

# shellcheck disable=SC3067  # dash and busybox have -O
own() {
  mkdir "$jobs" 2>/dev/null || { [ -d "$jobs" ] && [ ! -L "$jobs" ] && [ -O "$jobs" ]; } ||
    fail "$jobs is not a directory of this user"
}

said() { if [ -e "$1" ]; then head -c 32 "$1"; else echo -; fi; }

# When a process started, in ticks since the boot: with its number, this is the same process only.
started() {
  { read -r stat </proc/"$1"/stat; } 2>/dev/null || return
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  shift 19
  echo "$1"
}

is_alive() {
  { read -r number since <"$1"/pid; } 2>/dev/null && [ "$(started "$number")" = "$since" ]
}

show() {
  if is_alive "$1"; then state=running; elif [ -e "$1"/code ]; then state=ended; else state=lost; fi
  if [ -e "$1"/stopped ] && [ $state != running ]; then state=stopped; fi
  bytes=$(cat "$1"/first "$1"/last 2>/dev/null | wc -c)
  echo "${1##*/} $state $(said "$1"/code) $(said "$1"/began) $(said "$1"/ended) $bytes $(head -c 600 "$1"/command | base64 -w 0)"
}

start() {
  own
  # shellcheck disable=SC2012
  ls -t "$jobs" | tail -n "+$kept" | while read -r old; do
    is_alive "$jobs/$old" || rm -rf "${jobs:?}/$old"
  done
  job=$jobs/$1 limit=$2
  mkdir "$job" || exit
  cat >"$job"/command
  date +%s >"$job"/began
  case ${SHELL-} in */bash | */zsh | */dash | */ksh | */sh) shell=$SHELL ;; *) shell=/bin/sh ;; esac
  # The parts that note what became of the command live on when its process group gets a SIGTERM.
  # shellcheck disable=SC2016
  setsid /bin/sh -c '
    trap : TERM
    job=$1 limit=$2 last_bytes=$3 shell=$4
    read -r stat </proc/$$/stat
    set -- ${stat##*) }
    shift 19
    command -v stdbuf >/dev/null && unbuffered="stdbuf -o0" || unbuffered=
    note() { cat >"$job/new-$1" && mv "$job/new-$1" "$job/$1"; }
    echo "$$ $1" | note pid
    {
      trap : TERM
      (cd && exec "$shell" -c "$0") </dev/null
      echo $? | note code
    } 2>&1 | {
      trap "" TERM
      $unbuffered head -c "$limit" >"$job"/first
      tail -c "$last_bytes" >"$job"/last
    }
    date +%s | note ended
  ' "$(cat "$job"/command)" "$job" "$limit" $last_bytes "$shell" </dev/null >/dev/null 2>&1 &
  while [ ! -e "$job"/pid ] && [ ! -e "$job"/ended ]; do sleep 0.01; done
  show "$job"
}

list() {
  own
  [ $# = 0 ] || [ -d "$jobs/$1" ] || fail "no such job" 3
  for job in "$jobs"/${1-*}; do
    [ ! -d "$job" ] || show "$job"
  done
}

output() {
  own
  [ -d "$jobs/$1" ] || fail "no such job" 3
  cat "$jobs/$1"/first "$jobs/$1"/last 2>/dev/null | tail -c "+$(($2 + 1))"
}

stop() {
  own
  job=$jobs/$1
  [ -d "$job" ] || fail "no such job" 3
  if is_alive "$job"; then
    : >"$job"/stopped
    kill -TERM "-$number"
    tenths=$(($2 * 10))
    while is_alive "$job" && [ $tenths -gt 0 ]; do
      tenths=$((tenths - 1))
      sleep 0.1
    done
    is_alive "$job" && kill -KILL "-$number"
    while is_alive "$job"; do sleep 0.05; done
  fi
  show "$job"
}

"$@"
