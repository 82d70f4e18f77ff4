# Completion of authctl for fish: authctl completion fish | source
function __authctl_complete
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l answer (command authctl __complete $typed[2..-1] "$current" 2>/dev/null)
    if test "$answer" = ":file"
        __fish_complete_path "$current"
    else
        printf '%s\n' $answer
    end
end
complete -c authctl -f -k -a '(__authctl_complete)'
