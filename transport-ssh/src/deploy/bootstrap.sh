# The mark of this conversation stands nowhere in one piece but in what is said: an echo of the command
# is no answer. The empty line ends whatever was printed without an end of line.
rj_a=@MARK_A@ rj_b=@MARK_B@;
rj_say() {
  echo;
  echo "rejoin-$rj_a$rj_b $*";
};
# With so few files the shell itself fails, and cannot say why.
rj_x=$(ulimit -n);
case $rj_x in
  [0-9] | [12][0-9] | 3[01])
    rj_say few "$rj_x";
    exit 1 ;;
esac;
@PATH@
rj_sum() {
  rj_x=$(sha256sum <"$1" 2>/dev/null) ||
  rj_x=$(shasum -a 256 <"$1" 2>/dev/null) ||
  rj_x=$(openssl dgst -sha256 -r <"$1" 2>/dev/null) ||
  return 1;
  rj_x=${rj_x%% *};
};
rj_n= rj_s= rj_w=;
rj_i=$(uname -sm);
case $rj_i in
  @TABLE@
esac;
rj_c=0;
rj_look() {
  for rj_d; do
    if [ "$rj_n" ] && rj_is_ours && rj_sum "./$rj_n" && [ "$rj_x" = "$rj_s" ] &&
    "./$rj_n" $rj_w version </dev/null >/dev/null 2>&1; then
      # So that a later version can tell when this one was used last.
      touch "./$rj_n" 2>/dev/null;
      rj_say ready "$rj_c" "$rj_i";
      PATH=$rj_g;
      exec "/proc/self/cwd/$rj_n" $rj_w @WORDS@;
    fi;
    rj_c=$((rj_c+1));
  done;
};
# A program from PATH starts where the login did.
rj_o=$PWD;
rj_look @AT_HOME@;
rj_u=$(id -u);
rj_look @ELSEWHERE@;
set -- @AT_HOME@ @ELSEWHERE@;
rj_t=;
rj_sum /dev/null && rj_t="$rj_t+sum";
command -v gzip >/dev/null 2>&1 && rj_t="$rj_t+gzip";
rj_say need "$rj_t" "$rj_i";
if read -r rj_k; then
  eval "$(dd bs=1 count="$rj_k" 2>/dev/null)";
else
  rj_say deaf;
fi
