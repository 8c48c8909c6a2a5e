# shellcheck shell=bash disable=SC2034,SC2154
# harness.sh is shared by run, tail and watch: the assignment of cores, and the results.
# Sourced after the options are parsed; needs `here`, `work` and `meridian`.
# (Names are set or read in other files, hence the directive for the checker.)

server_core=0 load_core=1
(($(nproc) >= 2)) || die "one core; want one for the server and one for the load"
[[ -n $work ]] || work=$(mktemp -d)
mkdir -p "$work/bin"
work=$(cd "$work" && pwd)
results=$work/results.tsv
: >"$results"

ahead=() # prefix that gives a command priority over other programs
if [[ $(id -u) == 0 ]]; then
  ahead=(nice -n -10)
  # Nice values apply within a session only (sched(7), autogroup), so set that of the session too.
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

# result TEST ROW METRIC VALUE: one line for table; the value - means not measured
result() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$results"; }

# logged FILE KEY: the last value of a key in Meridian's log; empty without one
logged() { sed -n "s/.* $2=\([^ ]*\).*/\1/p" "$1" | tail -n 1; }

# ms DURATION: a Go duration in milliseconds
ms() {
  sed 's/µs/ 0.001/; s/ms/ 1/; s/\([0-9]\)ns/\1 0.000001/; s/\([0-9]\)s/\1 1000/' <<<"$1" | awk '{ print $1 * $2 }'
}

# held_up TEST ROW LOG: the pauses that Meridian's last log line reports for the Go runtime.
# If it never stopped the process there is no longest stop, rather than one of 0.
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
