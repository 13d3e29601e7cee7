# Whether rj_f, in the folder rj_d, is a program of the user's own that nobody else can change. Neither
# may be a symbolic link: ls shows one as l.
rj_is_ours() {
  [ -O "$rj_d" ] && [ -O "$rj_f" ] && [ -x "$rj_f" ] &&
  case $(LC_ALL=C ls -ld "$rj_d" "$rj_f") in
    d????-??-?*" $rj_d"?-??x?-??-?*) ;;
    *) false ;;
  esac;
};
# Each of these has one that is no absolute path where its variable is not set, and so never counts.
rj_h=${HOME:--};
