
# --- The agent -----------------------------------------------------------------------

PROGRAM=$DIRECTORY/bin/scitq
FILES=$DIRECTORY/work
UNIT=scitq-$WORKER.service
CHANGED=

sum_of() { sha256sum "$1" 2>/dev/null | cut -d ' ' -f 1; }

claim_directory() {
  mkdir -p "$DIRECTORY/bin" || fail 28 "cannot make $DIRECTORY"
  if [ -s "$DIRECTORY/hired" ]; then
    [ "$(cat "$DIRECTORY/hired")" = "$TAG $WORKER" ] \
      || fail 1 "$DIRECTORY belongs to another worker: $(cat "$DIRECTORY/hired")"
  else
    printf '%s %s\n' "$TAG" "$WORKER" >"$DIRECTORY/hired" || fail 28 "cannot write to $DIRECTORY"
  fi
}

need_token() {
  [ -s "$TOKEN_FILE" ] || [ -s "$FILES/agent.token" ] \
    || fail 1 "put a token with which an agent may join into $TOKEN_FILE (mode 0600) first"
}

install_program() {
  step 75 "the program"
  if [ -n "$PROGRAM_SUM" ]; then
    if [ "$(sum_of "$PROGRAM")" = "$PROGRAM_SUM" ]; then
      skip "it is there, version $VERSION"
      return
    fi
    [ "$(sum_of "$PROGRAM.new")" = "$PROGRAM_SUM" ] \
      || fail 28 "the program did not arrive whole in $DIRECTORY: is the disk full?"
  else
    if [ "$("$PROGRAM" --version 2>/dev/null)" = "scitq $VERSION" ]; then
      skip "it is there, version $VERSION"
      return
    fi
    fetch_program
  fi
  chmod 755 "$PROGRAM.new"
  found=$("$PROGRAM.new" --version 2>&1) \
    || fail 1 "the program does not run on this machine ($(uname -sm)): $found"
  before=$("$PROGRAM" --version 2>/dev/null) || before=none
  mv -f "$PROGRAM.new" "$PROGRAM"
  note "$found, before: $before"
  CHANGED=yes
}

# From the head, with the token. A head that made its certificate itself is known by the
# fingerprint that the token carries after its dot.
fetch_program() {
  has curl || install_packages curl ca-certificates
  secret=$(cut -d . -f 1 <"$TOKEN_FILE")
  fingerprint=$(cut -s -d . -f 2 <"$TOKEN_FILE")
  set -- --config "$DIRECTORY/curl.conf" -fsS --retry 8 --retry-delay 2 --retry-connrefused
  if [ -n "$fingerprint" ]; then
    has openssl || install_packages openssl
    address=${SERVER#https://}
    address=${address%%/*}
    openssl s_client -connect "$address" </dev/null 2>/dev/null \
      | openssl x509 -out "$DIRECTORY/head.pem" 2>/dev/null \
      || fail 69 "the head at $SERVER shows no certificate"
    shown=$(openssl x509 -in "$DIRECTORY/head.pem" -outform DER | openssl dgst -sha256 -binary \
      | openssl base64 -A | tr '+/' '-_' | tr -d '=')
    [ "$shown" = "$fingerprint" ] \
      || fail 77 "the head at $SERVER shows another certificate than the token names"
    set -- "$@" --cacert "$DIRECTORY/head.pem"
  fi
  # In a file: the command line of a process can be seen by all users.
  (umask 077 && printf 'header = "Authorization: Bearer %s"\n' "$secret" >"$DIRECTORY/curl.conf")
  note "fetching it from $SERVER"
  url="${SERVER%/}/api/v2/agent-binary?architecture=$(uname -m)"
  code=0
  curl "$@" -o "$PROGRAM.new" "$url" || code=$?
  rm -f "$DIRECTORY/curl.conf"
  case $code in
    0) ;;
    23) fail 28 "there is no room for the program in $DIRECTORY" ;;
    22) fail 77 "the head at $SERVER does not give out its program: is the token used up?" ;;
    *) fail 69 "cannot fetch the program from $SERVER (curl: $code)" ;;
  esac
}

# What the agent is started with. Both systemd and the shell read it.
write_settings() {
  {
    say "SCITQ_SERVER=$(quoted "$SERVER")"
    say "SCITQ_TOKEN_FILE=$(quoted "$TOKEN_FILE")"
    say "SCITQ_AGENT_NAME=$(quoted "$WORKER")"
    say "SCITQ_AGENT_BATCH=$(quoted "$BATCH")"
    say "SCITQ_AGENT_CONCURRENCY=$(quoted "$CONCURRENCY")"
    say "SCITQ_AGENT_PREFETCH=$(quoted "$PREFETCH")"
    say "SCITQ_AGENT_PROVIDER=$(quoted "$PROVIDER")"
    say "SCITQ_AGENT_REGION=$(quoted "$REGION")"
    say "SCITQ_AGENT_FLAVOR=$(quoted "$FLAVOR")"
    [ -z "$NOTICE" ] || say "SCITQ_AGENT_EVICTION_NOTICE=$(quoted "$NOTICE")"
  } | write_if_changed 600 "$DIRECTORY/agent.env" && CHANGED=yes
}

quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

start_agent() {
  step 85 "the agent"
  write_settings || true
  if has_systemd; then start_with_systemd; else start_detached; fi
}

start_with_systemd() {
  note "as the service $UNIT"
  "$PROGRAM" manage worker unit "$SERVER" --workdir "$FILES" >"$DIRECTORY/unit" \
    || fail 1 "the program prints no unit for systemd"
  write_if_changed 644 "/etc/systemd/system/$UNIT" <"$DIRECTORY/unit" && CHANGED=yes
  mkdir -p "/etc/systemd/system/$UNIT.d"
  printf '[Service]\nEnvironmentFile=%s\n' "$DIRECTORY/agent.env" \
    | write_if_changed 644 "/etc/systemd/system/$UNIT.d/worker.conf" && CHANGED=yes
  if [ -z "$CHANGED" ] && systemctl -q is-active "$UNIT"; then
    skip "it runs"
    return
  fi
  systemctl daemon-reload
  systemctl -q enable "$UNIT"
  # Its commands outlive it, and the new one goes on with them.
  systemctl restart "$UNIT"
}

agent_runs() {
  pid=$(cat "$DIRECTORY/agent.pid" 2>/dev/null) || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "agent --workdir $FILES "
}

start_detached() {
  note "without systemd: it is not started again when the machine starts"
  if agent_runs; then
    if [ -z "$CHANGED" ]; then
      skip "it runs"
      return
    fi
    note "its commands go on while it is replaced"
    kill -TERM "$pid"
    patience=100
    while agent_runs; do
      patience=$((patience - 1))
      [ "$patience" -gt 0 ] || fail 1 "the agent (process $pid) does not leave"
      sleep 0.1
    done
  fi
  (
    umask 077
    set -a
    # shellcheck disable=SC1091
    . "$DIRECTORY/agent.env"
    set +a
    exec setsid "$PROGRAM" agent --workdir "$FILES"
  ) </dev/null >>"$DIRECTORY/agent.log" 2>&1 &
  printf '%s\n' "$!" >"$DIRECTORY/agent.pid"
}

# A little while, so that what is wrong is seen now and not only by its absence.
await_agent() {
  step 95 "the agent's first word to the head"
  patience=75
  while ! [ -s "$FILES/agent.token" ]; do
    if has_systemd; then
      systemctl -q is-failed "$UNIT" && {
        journalctl -q -n 5 -o cat -u "$UNIT" >&2
        fail 1 "the agent has ended: see journalctl -u $UNIT"
      }
    elif ! agent_runs; then
      tail -n 5 "$DIRECTORY/agent.log" >&2
      fail 1 "the agent has ended: see $DIRECTORY/agent.log"
    fi
    patience=$((patience - 1))
    if [ "$patience" -le 0 ]; then
      note "it has not joined yet: can this machine reach $SERVER?"
      return
    fi
    sleep 0.2
  done
  note "it has joined"
}

claim_directory
need_token
prepare_machine
install_program
start_agent
await_agent
step 100 "done"
