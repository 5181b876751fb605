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
