# Whether rj_f, in the folder rj_d, is a program of the user's own that nobody else can change, and
# neither is a symbolic link. The folder's own name is kept away from ls, which may print another one
# for it than it has.
rj_is_ours() {
  if [ -h "$rj_d" ] || [ -h "$rj_f" ]; then return 1; fi;
  [ -O "$rj_d" ] && [ -O "$rj_f" ] && [ -x "$rj_f" ] &&
  case $(cd "$rj_d" && LC_ALL=C QUOTING_STYLE=literal ls -ld . "${rj_f##*/}") in
    d????-??-?*" ."?-??x?-??-?*) ;;
    *) false ;;
  esac;
};
# Each of these has one that is no absolute path where its variable is not set, and so never counts.
rj_h=${HOME:--};
