# `git deployments` for fish: its completion of git asks that of git-deployments, but not in each release, nor quoted.

function __git_deployments_of_git
    set -l words (commandline -opc)
    set -l at (contains -i -- deployments $words); or return
    complete -C (string join ' ' -- git-deployments (string escape -- $words[(math $at + 1)..]) (commandline -ct))
end

complete -c git -n __fish_git_needs_command -a deployments -d 'Version history of deployments'
complete -c git -f -n '__fish_git_using_command deployments' -a '(__git_deployments_of_git)'
