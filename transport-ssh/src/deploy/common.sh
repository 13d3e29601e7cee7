# Goes into the folder rj_d. This is the only use of its name: the shell then stays in that very folder,
# whatever becomes of the name. Succeeds if the folder is the user's own, nobody else can write to it,
# and its name is no symbolic link. Nobody else can then change what a name in the folder means. rj_l
# gets the modes of the folder and of rj_n. On failure the shell is in the root folder: programs may
# search the folder that they start in, so none starts in a folder that did not pass. Therefore ls
# gets the folder as its standard input.
rj_in() {
  rj_l=;
  case $rj_d in /*)
    cd -P "${rj_d%/*}/" 2>/dev/null && rj_f=${PWD%/}/${rj_d##*/} &&
    cd -P "./${rj_d##*/}" 2>/dev/null && [ "$PWD" = "$rj_f" ] && [ -O . ] &&
    rj_l=$(exec <. 2>/dev/null && cd / && LC_ALL=C QUOTING_STYLE=literal
      ls -ldn /proc/self/fd/0/. "/proc/self/fd/0/$rj_n");
    case $rj_l in d????-??-?*) return 0; esac;
    cd /;
  esac;
  return 1;
};
# Goes into the folder rj_d, and succeeds if rj_n in it is a program that nobody else can change. It is
# executed as /proc/self/cwd/NAME: bash would execute ./NAME by the folder's name.
rj_is_ours() {
  rj_in || return 1;
  if [ -h "./$rj_n" ]; then return 1; fi;
  [ -O "./$rj_n" ] && [ -x "./$rj_n" ] &&
  case $rj_l in *"/0/."?-??x?-??-?*) ;; *) false; esac;
};
# Each of these has one that is no absolute path where its variable is not set, and so never counts.
rj_h=${HOME:--};
