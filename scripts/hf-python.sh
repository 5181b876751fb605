# shellcheck shell=bash
# Sourced by quickstart: a Python environment in which the HuggingFace server runs. Needs ROOT, say and fail.

# PyTorch's own index of builds for the CPU; elsewhere the build for Linux brings several GB for NVIDIA.
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu

has_nvidia_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }

# What the server needs at run time, with the versions that it is tested with.
hf_requirements() {
  grep -E '^(torch|transformers|uvicorn|httptools|pydantic|safetensors|tokenizers|huggingface_hub|Jinja2|numpy)==' \
    "$ROOT/pyserver/requirements-dev.txt"
}

# Sets and exports PYTHON. What is installed already is not installed again.
setup_hf_python() {
  local venv="$1" stamp wanted torch
  if [ -n "${PYTHON:-}" ]; then
    "$PYTHON" -c 'import torch, transformers, uvicorn, pydantic' ||
      fail "PYTHON=$PYTHON lacks what is named above: install it there, or unset PYTHON"
    export PYTHON
    return
  fi
  stamp="$venv/.installed"
  wanted="$(hf_requirements)"
  export PYTHON="$venv/bin/python"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
  command -v python3 >/dev/null || fail "python3 is not on PATH: install Python 3.10 or newer"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "$(python3 --version) is too old: 3.10 or newer is needed"
  say "making a Python environment in ${venv#"$ROOT"/}"
  mkdir -p "$(dirname "$venv")"
  python3 -m venv "$venv" || fail "python3 could not make it: on Debian and Ubuntu, install python3-venv"
  torch="$(printf '%s\n' "$wanted" | grep '^torch==')"
  say "installing $torch and transformers (this takes a while once)"
  if ! has_nvidia_gpu && [ "$(uname -s)" = Linux ] && curl -fsI --max-time 5 "$TORCH_CPU_INDEX/torch/" >/dev/null 2>&1; then
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --index-url "$TORCH_CPU_INDEX" "$torch" >&2 ||
      fail "pip could not install $torch: see its message above"
  fi
  printf '%s\n' "$wanted" | "$PYTHON" -m pip install --quiet --disable-pip-version-check -r /dev/stdin >&2 ||
    fail "pip could not install what the HuggingFace server needs: see its message above"
  printf '%s' "$wanted" >"$stamp"
}
