#!/bin/sh
# Proves that rejoin-protocol needs no standard library: the program links and runs without it,
# and no longer links as soon as the feature `std` is on.
set -eu
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-target}
cargo build --locked --release
"$target/release/no-std-link"
if cargo build --locked --release --features with-std >/dev/null 2>&1; then
    echo "with the standard library it links, too: this check proves nothing" >&2
    exit 1
fi
echo "rejoin-protocol links and runs without the standard library"
