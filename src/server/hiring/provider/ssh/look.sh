
# What there is on a machine, one word and its value in each line. Changes nothing.

say() { printf '%s %s\n' "$1" "$2"; }

say architecture "$(uname -m)"
say user "$(id -un)"
place=$DIRECTORY
while [ ! -e "$place" ]; do place=$(dirname "$place"); done
if [ -d "$place" ] && [ -w "$place" ]; then say writable yes; else say writable no; fi
say free_kib "$(df -Pk "$place" | awk 'NR == 2 { print $4 }')"
say hired "$(cat "$DIRECTORY/hired" 2>/dev/null)"
say sum "$(sha256sum "$DIRECTORY/bin/scitq" 2>/dev/null | cut -d ' ' -f 1)"
say version "$("$DIRECTORY/bin/scitq" --version 2>/dev/null | cut -d ' ' -f 2)"
if [ -e "/etc/systemd/system/scitq-$WORKER.service" ] && [ -d /run/systemd/system ]; then
  say agent "$(systemctl is-active "scitq-$WORKER.service")"
elif pid=$(cat "$DIRECTORY/agent.pid" 2>/dev/null) \
  && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "agent --workdir $DIRECTORY/work "; then
  say agent active
else
  say agent none
fi
