#!/usr/bin/env bash
# Builds the Python wheel with the packages torchless and tabagent_model, and tests it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'TEXT'
usage: scripts/python.sh build | test [WHEEL] | lint | ray [WHEEL]

  build         build the wheel into dist/; one serves every Python from 3.9 on
  test [WHEEL]  install the wheel, or one that is built for this, with each Python here, and run the tests
  lint          check the types of the package and the Rust code of the bindings
  ray [WHEEL]   run the tests that need Ray, on a cluster of two nodes on this machine

Needs Rust and a Python with pip. PYTHONS lists other interpreters, and PYTHON the one that builds. Environments lie under target/python.
TEXT
}

python=${PYTHON:-python3}
venvs=target/python
package=bindings/python

# An environment of that name with those packages; made once.
environment() { # NAME PYTHON PACKAGE...
    local folder=$venvs/$1 interpreter=$2
    shift 2
    [[ -x $folder/bin/python ]] || "$interpreter" -m venv "$folder"
    (($# == 0)) || "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# Every interpreter from 3.9 on that can be found: that of PATH, versioned names, and those of pyenv.
pythons() {
    if [[ -n ${PYTHONS:-} ]]; then
        printf '%s\n' $PYTHONS
        return
    fi
    local minor found
    for minor in 9 10 11 12 13 14; do
        for found in "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor."*/bin/python "$(command -v "python3.$minor" || true)"; do
            if [[ -x $found ]] && "$found" -c "import sys, venv; sys.exit(sys.version_info[:2] != (3, $minor))" 2>/dev/null; then
                echo "$found"
                break
            fi
        done
    done
}

wheel() { # PROFILE FOLDER
    environment build "$python" 'maturin>=1.7,<2'
    rm -rf "$2"/torchless-*.whl
    "$venvs/build/bin/maturin" build --manifest-path $package/Cargo.toml --locked --profile "$1" --out "$2"
}

given_or_built() { # [WHEEL]
    if [[ -n ${1:-} ]]; then
        echo "$1"
        return
    fi
    wheel dev $venvs/wheels >&2
    echo $venvs/wheels/torchless-*.whl
}

install() { # ENVIRONMENT WHEEL
    "$venvs/$1/bin/python" -m pip install --quiet --disable-pip-version-check "$2"
    "$venvs/$1/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$2"
}

tests() { # ENVIRONMENT ARGUMENT...
    local name=$1
    shift
    # The wheel is tested, not the sources beside the tests.
    "$venvs/$name/bin/python" -m pytest -q --rootdir $package -c $package/pyproject.toml -p no:cacheprovider "$@"
}

test_all() { # [WHEEL]
    local built interpreter name names=()
    built=$(given_or_built "${1:-}")
    while read -r interpreter; do
        name=$("$interpreter" -c 'import sys; print("test-%d.%d" % sys.version_info[:2])')
        environment "$name" "$interpreter" pytest
        names+=("$name")
    done < <(pythons)
    ((${#names[@]} > 0)) || { echo "scripts/python.sh: no Python from 3.9 on was found" >&2; exit 1; }
    # Types are the same everywhere: checked once, with the newest.
    "$venvs/$name/bin/python" -m pip install --quiet --disable-pip-version-check mypy
    for name in "${names[@]}"; do
        install "$name" "$built"
        printf '\n== %s\n' "$("$venvs/$name/bin/python" --version)"
        tests "$name" $package/tests --ignore $package/tests/cluster
    done
}

ray() { # [WHEEL]
    local built
    built=$(given_or_built "${1:-}")
    environment ray "${RAY_PYTHON:-$python}" pytest 'ray[data]'
    install ray "$built"
    tests ray $package/tests/cluster
}

lint() {
    environment lint "$python" mypy numpy pytest
    (cd $package && MYPY_CACHE_DIR=../../$venvs/mypy "../../$venvs/lint/bin/mypy" --strict --python-version 3.10 python/torchless python/tabagent_model)
    cargo clippy --package torchless-python --all-targets --locked -- -D warnings
}

wrong() {
    usage >&2
    exit 2
}

case ${1:-}$# in
build1)
    wheel release dist
    ls dist/torchless-*.whl
    ;;
test1 | test2) test_all "${2:-}" ;;
lint1) lint ;;
ray1 | ray2) ray "${2:-}" ;;
-h1 | --help1) usage ;;
*) wrong ;;
esac
