#!/bin/sh
# Prints the requests of the README's "Try it with curl", the one place where they are written down.
cd "$(dirname "$0")/.." || exit 1
awk '/^```sh$/ {if (blocks++) print ""; on = 1; next} /^```$/ {on = 0} on' README.md
