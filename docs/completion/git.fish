# `git deployments` for fish, whose completion of git does not ask that of git-deployments in each of its releases.

function __git_deployments_of_git
    set -l words (commandline -opc)
    set -l at (contains -i -- deployments $words); or return
    complete -C (string join ' ' -- git-deployments (string escape -- $words[(math $at + 1)..]) (commandline -ct))
end

complete -c git -n __fish_git_needs_command -a deployments -d 'Version history of deployments'
complete -c git -f -n '__fish_git_using_command deployments' -a '(__git_deployments_of_git)'
