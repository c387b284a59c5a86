#!/bin/sh
# Jobs of a node: commands that go on without a connection. In "$@": a verb and its arguments.
#
#   start ID LIMIT BYTES EXPORTS  run the command of so many BYTES on standard input, in the environment that EXPORTS
#                                 set; keep LIMIT bytes of what it prints first, and the last ones
#   list [ID]                     a line for each job: ID STATE CODE BEGAN ENDED BYTES LOST COMMAND; times in seconds,
#                                 - for none
#   output ID FROM                as list, and what is kept from byte FROM on
#   stop ID SECONDS               SIGTERM, and SIGKILL if it goes on for so many seconds; then as list
#
# A job is a directory: what there is of `pid`, `code` and `ended` says how far it has come. It is on a disk, so that it
# is there after a reboot, which no command survives. A power cut leaves any of its files empty.
set -u
mask=$(umask)
umask 077
{ read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || boot=-
jobs=/var/tmp/vmcluster-jobs-$(id -u)
kept=50
last_bytes=1048576

fail() { echo "$1" >&2; exit "${2:-1}"; }

have() { [ -d "$jobs/$1" ] || fail "no such job" 3; }

# shellcheck disable=SC3067  # dash and busybox have -O
own() {
  trouble=$(mkdir "$jobs" 2>&1) || { [ -d "$jobs" ] && [ ! -L "$jobs" ] && [ -O "$jobs" ]; } ||
    fail "$jobs is not a directory of this user: $trouble"
}

# Set `value` to the number in a file.
said() {
  value=
  { read -r value <"$1"; } 2>/dev/null
  case $value in '' | *[!0-9]*) value=- ;; esac
}

# Set `ticks` to when a process that has not ended started: with its number and the boot, only that one.
started() {
  { read -r stat </proc/"$1"/stat; } 2>/dev/null || return
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  [ "$1" != Z ] && [ $# -gt 19 ] || return
  shift 19
  ticks=$1
}

is_alive() {
  { read -r number since <"$1"/pid; } 2>/dev/null && started "$number" && [ "$ticks $boot" = "$since" ]
}

show() {
  if is_alive "$1"; then state=running; elif [ -e "$1"/code ]; then state=ended; else state=lost; fi
  if [ -e "$1"/stopped ] && [ $state != running ]; then state=stopped; fi
  said "$1"/code && code=$value
  said "$1"/ended && ended=$value
  said "$1"/began && began=$value
  [ "$began" != - ] || began=$(stat -c %Y "$1")
  said "$1"/rest
  # shellcheck disable=SC2046
  sum_up "$value" $(stat -c %s "$1"/first "$1"/last 2>/dev/null)
  command=
  { read -r command <"$1"/shown; } 2>/dev/null
  echo "${1##*/} $state $code $began $ended $bytes $lost $command"
}

# Set `bytes` and `lost`, given how much was printed after the first part, and the sizes of both parts.
sum_up() {
  bytes=$((${2-0} + ${3-0})) lost=0
  [ "$1" = - ] || lost=$(($1 - ${3-0}))
}

start() {
  own
  # shellcheck disable=SC2012
  ls -t "$jobs" | tail -n "+$kept" | while read -r old; do
    is_alive "$jobs/$old" || rm -rf "${jobs:?}/$old"
  done
  # shellcheck disable=SC2012,SC2016
  [ "$(ls "$jobs" | wc -l)" -lt $((2 * kept)) ] || fail 'too many jobs run there (`job_stop` ends one)'
  job=$jobs/$1
  mkdir "$job" || exit
  { cat >"$job"/command && printf '%s' "$4" >"$job"/env && date +%s >"$job"/began; } || give_up
  head -c 600 "$job"/command | base64 | tr -d '\n' >"$job"/shown
  [ "$(stat -c %s "$job"/command)" = "$3" ] || { echo "the command did not arrive as a whole" >&2; give_up; }
  case ${SHELL-} in */bash | */zsh | */dash | */ksh | */sh) shell=$SHELL ;; *) shell=/bin/sh ;; esac
  # The parts that note what became of the command live on when its process group gets a SIGTERM.
  # shellcheck disable=SC2016
  program='
    trap : TERM
    job=$1 limit=$2 last_bytes=$3 shell=$4 mask=$5 boot=$6
    read -r stat </proc/$$/stat
    set -- ${stat##*) }
    shift 19
    command -v stdbuf >/dev/null && unbuffered="stdbuf -o0" || unbuffered=
    note() { cat >"$job/new-$1" && mv "$job/new-$1" "$job/$1"; }
    echo "$$ $1 $boot" | note pid || exit
    exec 2>/dev/null
    {
      trap : TERM
      (
        cd
        umask "$mask"
        set -- "$shell" -c "$(cat "$job"/command)"
        env=$(cat "$job"/env)
        rm "$job"/env
        eval "$env"
        exec "$@"
      ) </dev/null
      echo $? | note code
    } 2>&1 | {
      trap "" TERM
      $unbuffered head -c "$limit" >"$job"/first
      mkfifo "$job"/counted || exec tail -c "$last_bytes" >"$job"/last
      wc -c <"$job"/counted >"$job"/rest &
      tee "$job"/counted | tail -c "$last_bytes" >"$job"/last
      wait
    }
    date +%s | note ended
  '
  # What a shell starts in the background ignores SIGINT and SIGQUIT. Only coreutils can undo that.
  heeding="env --default-signal=INT,QUIT"
  $heeding true 2>/dev/null || heeding=
  $heeding setsid /bin/sh -c "$program" job "$job" "$2" $last_bytes "$shell" "$mask" "$boot" \
    </dev/null >/dev/null 2>"$job"/trouble &
  until [ -e "$job"/pid ]; do
    kill -0 $! 2>/dev/null || [ -e "$job"/pid ] || { cat "$job"/trouble >&2; give_up; }
    sleep 0.01
  done
  show "$job"
}

give_up() { rm -rf "$job"; fail "the command was not started"; }

list() {
  own
  [ $# = 0 ] || have "$1"
  for job in "$jobs"/${1-*}; do
    [ ! -d "$job" ] || show "$job"
  done
}

output() {
  own
  have "$1"
  show "$jobs/$1"
  [ "$bytes" -le "$2" ] || cat "$jobs/$1"/first "$jobs/$1"/last 2>/dev/null | tail -c "+$(($2 + 1))" | head -c $((bytes - $2))
}

stop() {
  own
  have "$1"
  job=$jobs/$1
  if is_alive "$job"; then
    : >"$job"/stopped
    signal_group "$number" TERM
    tenths=$(($2 * 10))
    while is_alive "$job" && [ $tenths -gt 0 ]; do
      tenths=$((tenths - 1))
      sleep 0.1
    done
    if is_alive "$job"; then signal_group "$number" KILL; fi
    while is_alive "$job"; do sleep 0.05; done
    # shellcheck disable=SC2154  # set by signal_group
    for left in $refused; do
      if started "$left"; then fail "the job has ended, except process $left, which only its user or root can end"; fi
    done
  fi
  show "$job"
}

"$@"
