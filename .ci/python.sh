#!/bin/sh
# Make the virtual environment named by $1 with the first Python here that is 3.11 or newer; say so where there is none.
set -eu

for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        if "$python" -m venv --clear "$1"; then
            exit 0
        fi
        echo "kubeshield: $python could not make a virtual environment in $1." >&2
        echo "            On Debian and Ubuntu: apt-get install python3-venv. Or name another one: make PYTHON=python3.12 ..." >&2
        exit 2
    fi
done
echo "kubeshield: no Python 3.11 or newer found (tried: ${PYTHON:-python3, python3.11 to python3.14, python})." >&2
echo "            Install one, or name it: make PYTHON=/path/to/python3 ..." >&2
exit 2
