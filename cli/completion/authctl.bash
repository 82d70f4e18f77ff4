# Completion of authctl for bash: source <(authctl completion bash)
_authctl() {
  local line=${COMP_LINE:0:COMP_POINT} IFS=$' \t\n' words=() current before candidate
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=${words[${#words[@]} - 1]}
  # bash takes ada@example.com for several words, and replaces only the last of them: $2.
  before=${current%"$2"}
  COMPREPLY=()
  while IFS= read -r candidate; do
    if [[ $candidate == :file ]]; then
      compopt -o default
      return
    fi
    candidate=${candidate%%$'\t'*}
    # A name is data: whatever in it means something to a shell must not.
    printf -v candidate %q "${candidate#"$before"}"
    COMPREPLY+=("${candidate//\\,/,}")
  done < <(command authctl __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _authctl authctl
