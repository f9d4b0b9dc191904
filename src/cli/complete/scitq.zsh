#compdef scitq
# zsh completion for scitq: asks the program itself, which asks its server.
_scitq() {
    local -a typed lines
    local reply
    typed=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    reply=$("${typed[1]}" complete zsh $((CURRENT - 1)) -- "${typed[@]}" 2>/dev/null)
    case $? in
        0)
            lines=("${(@f)reply}")
            [[ -n $reply ]] && _describe -V 'scitq' lines
            ;;
        # A word of the task's command, and its first one.
        3) _files ;;
        4) _command_names -e || _files ;;
    esac
}
if [[ ${funcstack[1]} == _scitq ]]; then
    _scitq "$@"
else
    compdef _scitq scitq
fi
