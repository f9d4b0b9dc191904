
# --- The job -------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }
fail() {
  say "error: $*" >&2
  exit 1
}

DIRECTORY=$PARENT/scitq-$WORKER

# What an earlier job of this worker left, when it was killed before it could clean up.
if [ -e "$DIRECTORY" ]; then
  [ "$(cat "$DIRECTORY/hired" 2>/dev/null)" = "$TAG $WORKER" ] \
    || fail "$DIRECTORY belongs to somebody else"
  rm -rf "$DIRECTORY"
fi
mkdir -p "$DIRECTORY" || fail "cannot make $DIRECTORY: name another \`directory\` for this provider"
printf '%s %s\n' "$TAG" "$WORKER" >"$DIRECTORY/hired"
trap 'rm -rf "$DIRECTORY"' EXIT

printf '%s' "$TOKEN" >"$DIRECTORY/join.token"
unset TOKEN
export SCITQ_TOKEN_FILE="$DIRECTORY/join.token"

# From the head, with the token. A head that made its certificate itself is known by the
# fingerprint that the token carries after its dot.
fetch_program() {
  command -v curl >/dev/null || fail "this node has no curl: put the program on a shared disk, and name it as \`program\`"
  secret=$(cut -d . -f 1 <"$DIRECTORY/join.token")
  fingerprint=$(cut -s -d . -f 2 <"$DIRECTORY/join.token")
  set -- --config "$DIRECTORY/curl.conf" -fsS --retry 8 --retry-delay 2 --retry-connrefused
  if [ -n "$fingerprint" ]; then
    address=${SERVER#https://}
    openssl s_client -connect "${address%%/*}" </dev/null 2>/dev/null \
      | openssl x509 -out "$DIRECTORY/head.pem" 2>/dev/null \
      || fail "the head at $SERVER shows no certificate"
    shown=$(openssl x509 -in "$DIRECTORY/head.pem" -outform DER | openssl dgst -sha256 -binary \
      | openssl base64 -A | tr '+/' '-_' | tr -d '=')
    [ "$shown" = "$fingerprint" ] || fail "the head at $SERVER shows another certificate than the token names"
    set -- "$@" --cacert "$DIRECTORY/head.pem"
  fi
  printf 'header = "Authorization: Bearer %s"\n' "$secret" >"$DIRECTORY/curl.conf"
  PROGRAM=$DIRECTORY/scitq
  curl "$@" -o "$PROGRAM" "${SERVER%/}/api/v2/agent-binary?architecture=$(uname -m)" \
    || fail "cannot fetch the program from $SERVER"
  rm -f "$DIRECTORY/curl.conf"
  chmod 755 "$PROGRAM"
}
[ -n "$PROGRAM" ] || fetch_program
[ -x "$PROGRAM" ] || fail "there is no program $PROGRAM on this node"

"$PROGRAM" agent --server "$SERVER" --name "$WORKER" --workdir "$DIRECTORY/work" \
  --batch "$BATCH" --concurrency "$CONCURRENCY" --prefetch "$PREFETCH" \
  --provider "$PROVIDER" --region "$REGION" --flavor "$FLAVOR" --eviction-notice slurm &
agent=$!

# Slurm tells the shell of a job that its end is near, and the shell tells the agent, which
# gives back what it holds and leaves.
trap 'kill -USR2 "$agent" 2>/dev/null' USR2
trap 'kill -TERM "$agent" 2>/dev/null' TERM
code=0
while :; do
  wait "$agent" && code=0 || code=$?
  # A signal ends the waiting, and not the agent.
  kill -0 "$agent" 2>/dev/null || break
done
say "the agent has left with $code"
exit "$code"
