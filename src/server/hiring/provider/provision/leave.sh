
# Ends the agent with all that it runs, and takes its files away.

say() { printf '%s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }

UNIT=scitq-$WORKER.service

if ! [ -e "$DIRECTORY" ]; then
  say "nothing of it is left"
  exit 0
fi
# A disk that was full may not even have taken the mark. Then nothing but the beginning of
# it is there, or it is not ours.
if ! [ -s "$DIRECTORY/hired" ]; then
  rm -f "$DIRECTORY/hired" "$DIRECTORY/join.token" "$DIRECTORY/bin/scitq.new"
  rmdir "$DIRECTORY/bin" "$DIRECTORY" 2>/dev/null || true
  if [ -e "$DIRECTORY" ]; then
    say "error: $DIRECTORY has files of somebody else: it stays as it is" >&2
    exit 1
  fi
  say "its files are gone"
  exit 0
fi
if [ "$(cat "$DIRECTORY/hired" 2>/dev/null)" != "$TAG $WORKER" ]; then
  say "error: $DIRECTORY does not belong to $WORKER of $TAG: it stays as it is" >&2
  exit 1
fi

if [ -e "/etc/systemd/system/$UNIT" ]; then
  say "the service $UNIT ends"
  systemctl -q disable --now "$UNIT" || true
  rm -rf "/etc/systemd/system/$UNIT" "/etc/systemd/system/$UNIT.d"
  systemctl daemon-reload || true
fi

# The agent, its supervisor, and its commands: all have the folder in their environment or
# on their command line. Other users' processes cannot be looked into, and are none of ours.
those_of_it() {
  # The pattern comes by a pipe, so that the search does not find itself.
  printf '%s\n' "$DIRECTORY/work" \
    | grep -asFl -f - /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null \
    | cut -d / -f 3 | sort -u || true
}
for signal in TERM KILL KILL KILL; do
  found=$(those_of_it)
  [ -n "$found" ] || break
  # shellcheck disable=SC2086
  say "ending $(set -- $found; echo $#) processes ($signal)"
  # shellcheck disable=SC2086
  kill -$signal $found 2>/dev/null || true
  patience=20
  while [ "$patience" -gt 0 ] && [ -n "$(those_of_it)" ]; do
    patience=$((patience - 1))
    sleep 0.1
  done
done
if has docker; then
  containers=$(docker ps -aq --filter "label=scitq.workdir=$DIRECTORY/work" 2>/dev/null) || containers=
  # shellcheck disable=SC2086
  [ -z "$containers" ] || docker rm -f $containers >/dev/null
fi

rm -rf "$DIRECTORY"
say "its files are gone"
