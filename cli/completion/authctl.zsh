#compdef authctl
# Completion of authctl for zsh: source <(authctl completion zsh)
_authctl() {
  local line word
  local -a answer candidates
  answer=("${(@f)$(command authctl __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
  for line in $answer; do
    if [[ $line == :file ]]; then
      _files
      return
    fi
    word=${line%%$'\t'*}
    candidates+=("${word//:/\\:}:${line#*$'\t'}")
  done
  (( $#candidates )) && _describe -V authctl candidates
}
if [[ $funcstack[1] == _authctl ]]; then _authctl "$@"; else compdef _authctl authctl; fi
