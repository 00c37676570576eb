#!/usr/bin/env bash
# Finds or installs the libtorch that goes with the crate tch and writes libtorch-env.sh, to be sourced before building:
#
#     scripts/setup-libtorch.sh cpu      torch for processors
#     scripts/setup-libtorch.sh cuda     torch with NVIDIA's libraries (6 GB)
#
# torch comes from PyPI into .libtorch/, without NVIDIA's libraries for `cpu`: what the wheel is linked against has stand-ins that say that
# there is no device. LIBTORCH_VENV names another folder; where that has torch already, it is used as it is. Needs Python 3.10 or later
# with venv and, for `cpu`, a C compiler and binutils.
set -euo pipefail

VERSION=2.11.0
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${LIBTORCH_VENV:-$root/.libtorch}
kind=${1:-cpu}

case $kind in
    cpu | cuda) ;;
    *) echo "usage: $0 cpu|cuda" >&2; exit 2 ;;
esac

python=$venv/bin/python
[ -x "$python" ] || python3 -m venv "$venv"
if ! "$python" -m pip show -q torch 2>/dev/null; then
    echo "installing torch $VERSION into $venv"
    if [ "$kind" = cuda ]; then
        "$python" -m pip install -q "torch==$VERSION" numpy
    else
        "$python" -m pip install -q --no-deps "torch==$VERSION"
        "$python" -m pip install -q sympy networkx jinja2 numpy typing_extensions filelock fsspec
    fi
fi
torch=$("$python" -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')
libraries=$torch/lib
if [ "$kind" = cpu ] && [ "$(uname -s)" = Linux ] && [ -e "$libraries/libtorch_cuda.so" ]; then
    "$python" "$root/scripts/libtorch_stand_ins.py" "$torch" "$venv/stand-ins" > /dev/null
    libraries=$venv/stand-ins:$libraries
fi

env=${LIBTORCH_ENV:-libtorch-env.sh}
cat > "$env" <<END
export LIBTORCH="$torch"
export LIBTORCH_USE_PYTORCH=1
export PATH="$venv/bin:\$PATH"
export LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
END
. "./$env" 2>/dev/null || . "$env"
"$python" -c 'import torch; print("torch", torch.__version__, "in", torch.__path__[0])'
echo "wrote $env; next: source $env"
