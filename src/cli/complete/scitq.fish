# fish completion for scitq: asks the program itself, which asks its server.
function __scitq_complete
    set -l typed (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l reply ($typed[1] complete fish (count $typed) -- $typed "$current" 2>/dev/null)
    switch $status
        case 0
            printf '%s\n' $reply
        # A word of the task's command, and its first one.
        case 3
            __fish_complete_path "$current"
        case 4
            complete --do-complete "$current"
    end
end
complete --command scitq --no-files --keep-order --arguments '(__scitq_complete)'
