#!/usr/bin/env bash
# Finds the torch of the Python in use, which has MPS where the libtorch for download has not, and writes mps-env.sh, to be sourced
# before building on a Mac with Apple's processors.
set -euo pipefail

python=${PYTHON:-python3}
torch=$("$python" -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")')
if [ -z "$torch" ]; then
    echo "$python has no torch: pip3 install torch==2.11.0, or PYTHON=/path/to/another/python" >&2
    exit 1
fi
"$python" "$(dirname "$0")/check-mps-support.py" || echo "going on without MPS" >&2
cat > mps-env.sh <<END
export LIBTORCH="$torch"
export LIBTORCH_USE_PYTORCH=1
export PATH="$(dirname "$("$python" -c 'import sys; print(sys.executable)')"):\$PATH"
export DYLD_LIBRARY_PATH="$torch/lib\${DYLD_LIBRARY_PATH:+:\$DYLD_LIBRARY_PATH}"
END
echo "wrote mps-env.sh; next: source mps-env.sh"
