/** What each shell is to be told: it asks the program itself, so that the scripts know no command by name. */

const bash = String.raw`# bash completion of solar-host
_solar_host() {
  local line=${"$"}{COMP_LINE:0:COMP_POINT} out candidate
  local -a words
  read -ra words <<< "$line"
  case $line in *[[:space:]]) words+=("") ;; esac
  local current=${"$"}{words[${"$"}{#words[@]}-1]}
  out=$("${"$"}{words[0]}" ctl __complete "${"$"}{words[@]:1}" 2>/dev/null) || return
  COMPREPLY=()
  if [ "$out" = ":files" ]; then
    # The shell's own, which knows ~ and what stands behind an '='. Bash 3 cannot be asked for it.
    compopt -o default 2>/dev/null && return
    current=${"$"}{current##*=}
    while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "$current")
    return
  fi
  # Readline replaces what stands behind the last ':' or '=' only.
  local kept=""
  case $COMP_WORDBREAKS in *:*) kept=${"$"}{current%"${"$"}{current##*[:=]}"} ;; esac
  while IFS= read -r candidate; do
    candidate=${"$"}{candidate%%$'\t'*}
    [ -n "$candidate" ] && COMPREPLY+=("$(printf '%q' "${"$"}{candidate#"$kept"}")")
  done <<< "$out"
  # Behind 'name=' the value follows without a blank.
  case ${"$"}{COMPREPLY[0]} in *=|*\\=) compopt -o nospace 2>/dev/null ;; esac
}
complete -F _solar_host solar-host
`;

const zsh = String.raw`#compdef solar-host
# zsh completion of solar-host
_solar_host() {
  local -a lines values shown
  local line
  lines=("${"$"}{(@f)$(${"$"}{(Q)words[1]} ctl __complete "${"$"}{(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ $lines[1] == ":files" ]]; then
    compset -P '*='
    _files
    return
  fi
  for line in $lines; do
    [[ -z $line ]] && continue
    values+=("${"$"}{line%%$'\t'*}")
    shown+=("${"$"}{line/$'\t'/  -- }")
  done
  if [[ $values[1] == *= ]]; then
    compadd -S '' -l -d shown -a -- values
  else
    compadd -l -d shown -a -- values
  fi
}
if [[ $funcstack[1] == _solar-host ]]; then
  _solar_host "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
  compdef _solar_host solar-host
fi
`;

const fish = String.raw`# fish completion of solar-host
function __solar_host_complete
  set -l tokens (commandline -opc)
  set -l current (commandline -ct)
  set -l out ($tokens[1] ctl __complete $tokens[2..-1] "$current" 2>/dev/null)
  if test "$out[1]" = ":files"
    set -l flag (string match -r '^.*=' -- "$current")
    for path in (__fish_complete_path (string replace -r '^.*=' '' -- "$current"))
      echo "$flag$path"
    end
  else
    printf '%s\n' $out
  end
end
complete -c solar-host -f -a '(__solar_host_complete)'
`;

export const completionScripts = { bash, zsh, fish } as const;
export type Shell = keyof typeof completionScripts;
