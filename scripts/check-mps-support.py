#!/usr/bin/env python3
"""Says whether the torch of this Python can use the GPU of a Mac (MPS). Exit status 0 if so."""

import sys


def main():
    try:
        import torch
    except ImportError as error:
        sys.exit(f"torch cannot be loaded ({error}): pip3 install torch")
    mps = torch.backends.mps
    available = mps.is_available()
    print("✓ MPS is available and ready to use!" if available else "✗ MPS is not available")
    print(f"PyTorch version: {torch.__version__}")
    print(f"MPS built: {mps.is_built()}")
    if not available:
        why = "this macOS or this machine has none" if mps.is_built() else "this torch was built without it"
        print(f"Reason: {why}")
    return 0 if available else 1


if __name__ == "__main__":
    sys.exit(main())
