# For other scripts: NVIDIA's compiler for kernels out of its Python packages, in a folder for caches. PYTHON names another Python.
python=${PYTHON:-python3}

stop() { # REASON
    echo "$(basename "$0"): $1" >&2
    exit 1
}

# The folder of a version of NVRTC, fetched once.
nvrtc_folder() { # PACKAGE VERSION
    local folder=${XDG_CACHE_HOME:-$HOME/.cache}/torchless/compilers/$1-$2
    if [[ ! -d $folder ]]; then
        rm -rf "$folder.part"
        mkdir -p "$folder.part"
        "$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$folder.part" "$1==$2" >&2 ||
            stop "$1 $2 cannot be fetched with pip"
        "$python" -m zipfile -e "$folder.part"/*.whl "$folder.part"
        rm "$folder.part"/*.whl
        mv "$folder.part" "$folder"
    fi
    echo "$folder"
}

library() { # FOLDER NAME
    local found
    found=$(find "$1" -name "$2" | head -n 1)
    [[ -n $found ]] || stop "$1 has no $2"
    echo "$found"
}
