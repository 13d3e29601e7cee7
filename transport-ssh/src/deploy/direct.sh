rj_look() {
  for rj_d; do
    rj_f=$rj_d/@NAME@;
    rj_is_ours && exec "$rj_f" @WORDS@;
  done;
};
rj_u=@UID@;
rj_look @FIRST@;
rj_u=$(id -u);
rj_look @REST@;
echo "@NAME@ is not there" >&2;
exit 127
