# shellcheck shell=bash
# Sourced by the other scripts: finds the pinned Bun (or gets it from npm) and installs the dependencies.
# Sets ROOT and BUN; messages go to stderr.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { printf '==> %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

pinned_bun_version() {
  sed -nE 's/^ *"bun": "([0-9][^"]*)",?$/\1/p' "$ROOT/package.json"
}

# npm may be told not to run install scripts; the binary then stays where the platform's package has it.
bun_in() {
  local candidate
  for candidate in "$1"/bun/bin/bun.exe "$1"/@oven/bun-*/bin/bun; do
    if [ -x "$candidate" ] && [ "$("$candidate" --version 2>/dev/null)" = "$2" ]; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

find_bun() {
  local version="$1" on_path
  on_path="$(command -v bun || true)"
  if [ -n "$on_path" ] && [ "$("$on_path" --version 2>/dev/null)" = "$version" ]; then
    printf '%s\n' "$on_path"
    return 0
  fi
  bun_in "$ROOT/node_modules" "$version" || bun_in "$ROOT/.tools/node_modules" "$version"
}

setup_bun() {
  local version
  version="$(pinned_bun_version)"
  [ -n "$version" ] || fail "package.json pins no version of bun"
  if ! BUN="$(find_bun "$version")"; then
    command -v npm >/dev/null || fail "neither bun $version nor npm is on PATH: install Node.js (https://nodejs.org), which brings npm"
    say "getting Bun $version from npm"
    mkdir -p "$ROOT/.tools"
    [ -f "$ROOT/.tools/package.json" ] || printf '{"private":true,"allowScripts":{"bun":true}}\n' >"$ROOT/.tools/package.json"
    npm install --prefix "$ROOT/.tools" --no-save --no-package-lock --no-audit --no-fund --loglevel=error "bun@$version" >&2 ||
      fail "npm could not install bun@$version: see its message above"
    BUN="$(find_bun "$version")" || fail "npm installed bun@$version, but no binary of it runs here"
  fi
  export BUN
}

install_dependencies() {
  # The lock file tells what is wanted; the stamp tells what was installed.
  local stamp="$ROOT/node_modules/.installed-from"
  if [ -f "$stamp" ] && cmp -s "$stamp" "$ROOT/bun.lock"; then return; fi
  say "installing dependencies"
  (cd "$ROOT" && "$BUN" install --frozen-lockfile >&2) || fail "the dependencies could not be installed: see the message above"
  cp "$ROOT/bun.lock" "$stamp"
}

# The pinned Bun as `bun`, for what finds it by that name.
bun_on_path() {
  if [ "$BUN" = "$ROOT/.tools/bin/bun" ]; then return; fi
  mkdir -p "$ROOT/.tools/bin"
  # By rename: two scripts may do it at once.
  ln -sf "$BUN" "$ROOT/.tools/bin/bun.$$"
  mv -f "$ROOT/.tools/bin/bun.$$" "$ROOT/.tools/bin/bun"
  export PATH="$ROOT/.tools/bin:$PATH"
}

# Makes dist/solar-host, unless it is newer than all that it is made of.
build_if_needed() {
  local binary="$ROOT/dist/solar-host" newer
  if [ -x "$binary" ]; then
    newer="$(cd "$ROOT" && find src pyserver package.json bun.lock scripts/build.ts \
      \( -name __pycache__ -o -name '.*_cache' -o -name '*.egg-info' \) -prune -o \
      -type f -newer "$binary" -print | head -n 1)"
    if [ -z "$newer" ]; then return; fi
  fi
  say "building dist/solar-host"
  (cd "$ROOT" && "$BUN" scripts/build.ts) || fail "dist/solar-host could not be built: see the message above"
}
