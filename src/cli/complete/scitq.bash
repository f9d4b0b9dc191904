# bash completion for scitq: asks the program itself, which asks its server.
_scitq() {
    local reply status
    reply=$("$1" complete bash "$COMP_CWORD" -- "${COMP_WORDS[@]:0:COMP_CWORD}" "$2" 2>/dev/null)
    status=$?
    COMPREPLY=()
    case $status in
        0)
            [[ -z $reply ]] || mapfile -t COMPREPLY <<<"$reply"
            [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *[/=] ]] || compopt -o nospace
            ;;
        # A word of the task's command, and its first one.
        3) compopt -o default ;;
        4) mapfile -t COMPREPLY < <(compgen -c -- "$2" | sort -u) && compopt -o default ;;
    esac
}
complete -o nosort -F _scitq scitq 2>/dev/null || complete -F _scitq scitq
