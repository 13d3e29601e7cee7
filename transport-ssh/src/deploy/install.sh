# Sent to a host that has said what it needs; runs in the shell that bootstrap.sh has prepared.
rj_n='@NAME@' rj_s='@SUM@' rj_w='@PREFIX@'
# How many bytes come, what unpacks them, and which version a program from PATH must have.
rj_k='@LENGTH@' rj_z='@UNPACK@' rj_v='@VERSION@'

rj_m=$(umask)
umask 077
# What is being written, and the folder if it was made for that. Both are relative to the folder, and
# set only while the shell is in it.
rj_t= rj_made=
rj_undo() {
  [ -z "$rj_t" ] || rm -f "$rj_t"
  [ -z "$rj_made" ] || rmdir "$rj_made" 2>/dev/null
  rj_t= rj_made=
}
trap rj_undo EXIT
trap 'exit 1' HUP INT TERM PIPE

# Removes what was made, and says why the folder will not do.
rj_no() {
  rj_undo
  rj_why=${rj_why##*: }
  rj_say no "$rj_d: ${rj_why:-unknown}"
}

# Makes the folder rj_d if it is missing, goes into it, and succeeds if programs can be written there
# and run. What is asked about the folder by its name only decides which reason is given.
rj_can_hold() {
  if [ -h "$rj_d" ]; then rj_why='it is a symbolic link'; return 1; fi
  rj_x=
  if [ ! -d "$rj_d" ]; then
    rj_why=$(LC_ALL=C mkdir -p -m 700 "$rj_d" 2>&1) || return 1
    rj_x=../${rj_d##*/}
  fi
  if ! rj_in; then
    rj_why='other users may write there'
    [ "$rj_l" ] || rj_why='its mode cannot be read'
    [ -O "$rj_d" ] || rj_why='it belongs to another user'
    return 1
  fi
  rj_made=$rj_x
  if [ -d "./$rj_n" ]; then rj_why="$rj_n is a folder there"; return 1; fi
  rj_t=./.rejoin-$$-$rj_a$rj_b
  rj_why=$( (set -C; echo '#!/bin/sh' >"$rj_t" && chmod 700 "$rj_t") 2>&1) || return 1
  rj_why='programs cannot be run from there (noexec)'
  "$rj_t" >/dev/null 2>&1 </dev/null
}

# Says once a second how much has arrived.
rj_count() {
  while sleep 1 >/dev/null 2>&1; do
    rj_say at "$(wc -c <"$rj_t")"
  done
}

# Takes the upload. All of it is read, whatever becomes of it: nothing else is to be taken for it.
rj_take() {
  rj_say send "$rj_d"
  rj_count 2>/dev/null &
  rj_p=$!
  rj_why=$(head -c "$rj_k" | { LC_ALL=C $rj_z 2>&1 >"$rj_t"; rj_e=$?; cat >/dev/null; exit $rj_e; })
  rj_e=$?
  # A signal that has a trap here is lost on one that was forked a moment ago, and has yet to forget it.
  # In one group, so that no shell has a word to say about it.
  { kill -9 "$rj_p"; wait "$rj_p"; } 2>/dev/null
  [ "$rj_e" -eq 0 ] || return 1
  rj_why='what arrived is damaged'
  rj_sum "$rj_t" && [ "$rj_x" = "$rj_s" ]
}

# Removes what nobody needs any more: programs that do not run and were not used for a day, and what
# deployments that were killed have left.
rj_sweep() {
  for rj_f in ./.rejoin-*; do rj_old "$rj_f" -mmin +60; done
  # Other hosts may run what lies in a folder that they share, which cannot be seen from here; and
  # what is removed from a network's file system ends whoever runs it there.
  case $(LC_ALL=C stat -f -c %T .) in
  ext* | xfs | btrfs | zfs | f2fs | bcachefs | jfs | reiserfs | overlay* | tmpfs) ;;
  *) return ;;
  esac
  rj_l=$(LC_ALL=C ls -l /proc/[0-9]*/exe 2>/dev/null)
  for rj_f in ./rejoin-server-*; do
    # Both the system and the shell name the folder without symbolic links on the way.
    case $rj_l in *"-> $PWD/${rj_f#./}"*) continue ;; esac
    rj_old "$rj_f" -mtime +0
  done
}

rj_old() {
  if [ -f "$1" ] && [ ! -h "$1" ] && [ "$1" != "./$rj_n" ] && [ -n "$(find "$@")" ]; then
    rm -f "$1"
  fi
}

# Leaves no trace in what is started.
rj_restore() {
  rj_t=
  trap - EXIT HUP INT TERM PIPE
  umask "$rj_m"
  PATH=$rj_g
}

rj_c=0
for rj_d; do
  case $rj_n:$rj_d in
  ?*:/*)
    if rj_can_hold && rj_take; then
      chmod 700 "$rj_t"
      if ! rj_why=$("$rj_t" $rj_w version 2>&1 >/dev/null </dev/null); then
        rj_say broken "$rj_why"
        exit 126
      fi
      if rj_why=$(LC_ALL=C mv -f "$rj_t" "./$rj_n" 2>&1 </dev/null); then
        rj_sweep >/dev/null 2>&1
        rj_restore
        rj_say ready "$rj_c" "$rj_i"
        exec "/proc/self/cwd/$rj_n" $rj_w @WORDS@
      fi
    fi
    rj_no
    ;;
  esac
  rj_c=$((rj_c+1))
done

cd "$rj_o"
rj_f=$(command -v rejoin-server 2>/dev/null) &&
case $("$rj_f" version --json 2>/dev/null </dev/null) in
*"\"version\":\"$rj_v\""*)
  rj_restore
  rj_say ready path "$rj_i"
  exec "$rj_f" @WORDS@
  ;;
esac
rj_say none
exit 127
