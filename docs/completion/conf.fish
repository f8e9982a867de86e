# The completion of git in fish asks that of git-deployments.
complete -c git -f -n '__fish_git_using_command deployments' -a '(__fish_git_complete_custom_command deployments)'
