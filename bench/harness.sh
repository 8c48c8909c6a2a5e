# shellcheck shell=bash disable=SC2034,SC2154
# harness.sh is what run and tail share: who runs on which core, and how a
# result is kept. Sourced after the options are read; needs `here`, `work` and
# `meridian`. (So names are set or read elsewhere, which the checker is told.)

server_core=0 load_core=1
(($(nproc) >= 2)) || die "one core; want one for the server and one for the load"
[[ -n $work ]] || work=$(mktemp -d)
mkdir -p "$work/bin"
work=$(cd "$work" && pwd)
results=$work/results.tsv
: >"$results"

ahead=() # of whatever else runs on this machine
if [[ $(id -u) == 0 ]]; then
  ahead=(nice -n -10)
  # Nice values count within a session only (sched(7), autogroup); so the session's own, too.
  [[ ! -w /proc/self/autogroup ]] || echo -10 >/proc/self/autogroup || true
fi

on_server_core=("${ahead[@]}" taskset -c "$server_core")
on_load_core=("${ahead[@]}" taskset -c "$load_core")

# build PACKAGE...: into $work/bin, with the generator and the server
build() {
  cc -O2 -Wall -o "$work/bin/load" "$here/load.c"
  (cd "$here/.." && go build -o "$work/bin/" "$@")
  if [[ -n $meridian ]]; then
    cp "$meridian" "$work/bin/meridian"
  else
    (cd "$here/.." && go build -o "$work/bin/meridian" ./cmd/meridian)
  fi
  export PATH=$work/bin:$PATH:/usr/sbin
}

# result TEST ROW METRIC VALUE: one line for table; the value - is for what there was nothing of
result() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$results"; }

# logged FILE KEY: the last value of a key in Meridian's log; nothing without one
logged() { sed -n "s/.* $2=\([^ ]*\).*/\1/p" "$1" | tail -n 1; }

# ms DURATION: a duration of Go's in milliseconds
ms() {
  sed 's/µs/ 0.001/; s/ms/ 1/; s/\([0-9]\)ns/\1 0.000001/; s/\([0-9]\)s/\1 1000/' <<<"$1" | awk '{ print $1 * $2 }'
}

# held_up TEST ROW LOG: what the Go runtime says in Meridian's last line of how it held
# up the process. Where it never stopped there is no longest stop: that is not one of 0.
held_up() {
  local stops longest=-
  stops=$(logged "$3" pauses.stops)
  [[ -n $stops ]] || return 0
  ((stops == 0)) || longest=$(ms "$(logged "$3" pauses.stopped_longest)")
  result "$1" "$2" "stops of the world" "$stops"
  result "$1" "$2" "longest stop ms" "$longest"
  result "$1" "$2" "a goroutine waited, p99.9 ms" "$(ms "$(logged "$3" pauses.waited_p999)")"
  result "$1" "$2" "and longest ms" "$(ms "$(logged "$3" pauses.waited_longest)")"
}

machine() { echo "$(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), Linux $(uname -r)"; }
