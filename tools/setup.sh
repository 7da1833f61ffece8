#!/bin/sh
# Finds a Python for the set-up and hands over to tools/setup.py, which says what it does.
#
#   sh tools/setup.sh run            what `make run` needs
#   sh tools/setup.sh dev PART...    what tests and checks need, and parts of this machine
#
# PYTHON=python3.12 (a name or a path) asks for one Python; else the first of the names below
# that really runs counts. One that can make environments by itself goes before one that
# cannot, and a name may stand for a launcher of a version that is not there: so each is tried.
set -eu

names='python3.11 python3.12 python3.13 python3.14 python3'
recent='import sys; sys.exit(sys.version_info < (3, 11))'
complete="import ensurepip, venv; $recent"

# first CHECK NAME...: prints the first Python on the path that passes.
first() {
    check=$1
    shift
    for name in "$@"; do
        case $name in
        */*) "$name" -c "$check" 2>/dev/null && echo "$name" && return ;;
        *)
            old_ifs=$IFS
            IFS=:
            for folder in $PATH; do
                IFS=$old_ifs
                if [ -x "$folder/$name" ] && "$folder/$name" -c "$check" 2>/dev/null; then
                    echo "$folder/$name"
                    return
                fi
            done
            IFS=$old_ifs
            ;;
        esac
    done
    return 1
}

if [ -n "${PYTHON:-}" ]; then
    found=$(first "$recent" "$PYTHON") || {
        echo "setup: PYTHON=$PYTHON is no Python 3.11 or newer that runs here." >&2
        exit 1
    }
else
    # shellcheck disable=SC2086  # the names are words
    found=$(first "$complete" $names) || found=$(first "$recent" $names) || {
        here=$(first '' python3) && here="; python3 here is $("$here" -V 2>&1)"
        echo "setup: ClusterLite needs Python 3.11 or newer, and found none of: $names$here." >&2
        echo "Debian and Ubuntu: apt-get install python3 python3-venv. macOS: brew install python." >&2
        echo "One that is elsewhere can be named: make run PYTHON=/path/to/python3.12" >&2
        exit 1
    }
fi

exec "$found" "$(dirname "$0")/setup.py" "$@"
