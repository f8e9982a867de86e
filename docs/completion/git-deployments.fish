# Completion of `git deployments` for fish, whose completion of git asks that of git-deployments.
# Plain git answers; no Python is started.

# The words after `deployments`, without options and their values.
function __git_deployments_words
    set -l words (commandline -opc)
    set -e words[1]
    set -l before
    for word in $words
        if contains -- "$before" $__git_deployments_valued
            set before
            continue
        end
        set before $word
        string match -q -- '-*' $word; or echo $word
    end
end

function __git_deployments_is
    set -l words (__git_deployments_words)
    if test $argv[1] = none
        test (count $words) -eq 0
    else
        test (count $words) -ge $argv[1]; and test (count $words) -le $argv[2]; and contains -- "$words[1]" $argv[3..-1]
    end
end

function __git_deployments_names
    set -l typed (string replace -r '^["\']' '' -- (commandline -ct))
    string match -q -r '[*?\[]' -- $typed; and return
    set -l names (git for-each-ref --format='%(refname:lstrip=2)' "refs/deployments/$typed*/live" "refs/deployments/$typed*/*/live" 2>/dev/null)
    if test (count $names) -eq 0
        set names (git for-each-ref --format='%(refname:lstrip=3)' "refs/deployments/*/$typed*/live" 2>/dev/null)
    end
    string replace -r '/live$' '' -- $names
end

function __git_deployments_versions
    set -l words (__git_deployments_words)
    string match -q -r '[*?\[]' -- $words[2]; and return
    printf '%s\n' live latest previous
    set -l found (git for-each-ref --sort=-version:refname --format='%(refname:lstrip=-1) %(contents:subject)' "refs/deployments/$words[2]/versions/*" "refs/deployments/*/$words[2]/versions/*" 2>/dev/null)
    string replace -r '^(\d+) .*?(?: v\1: (.*))?$' 'v$1\t$2' -- $found
    string replace -f -r '^(\d+) .*? v\1: (.*)$' '$2\tv$1' -- $found
end

function __git_deployments_option
    # OPTION WITH-VALUE DESCRIPTION COMMAND…: an option of these commands
    set -l flags
    test $argv[2] = 1; and set flags -x
    switch $argv[1]
        case file output paths python export
            set flags -r -F
        case remote
            set -a flags -a '(git remote 2>/dev/null)'
        case expect-live
            set -a flags -k -a '(__git_deployments_versions; echo none)'
        case version-type
            set -a flags -a 'vcs:github vcs:gitlab vcs:bitbucket vcs:azuredevops vcs:git prefect:simple'
    end
    complete -c git-deployments -n "__git_deployments_is 1 99 $argv[4..-1]" $flags -l $argv[1] -d $argv[3]
end

set -l one update rollback promote delete versions show live log diff checkout run
complete -f -c git-deployments
complete -c git-deployments -n "__git_deployments_is 1 1 $one" -a '(__git_deployments_names)'
complete -c git-deployments -n '__git_deployments_is 1 99 deploy list status apply capture export fsck apply capture' -a '(__git_deployments_names)'
complete -c git-deployments -n '__git_deployments_is 2 2 rollback promote show diff run run' -k -a '(__git_deployments_versions)'
complete -c git-deployments -n '__git_deployments_is 3 3 diff checkout' -k -a '(__git_deployments_versions)'
complete -F -c git-deployments -n '__git_deployments_is 2 2 checkout'
complete -c git-deployments -n '__git_deployments_is 1 1 fetch pull push' -a '(git remote 2>/dev/null)'
complete -c git-deployments -n '__git_deployments_is 2 99 fetch pull push' -a '(__git_deployments_names)'
complete -c git-deployments -n '__git_deployments_is 2 99 update' -a '(string split " " -- $__git_deployments_keys)='
complete -c git-deployments -n '__git_deployments_is 1 1 hook' -a 'pre-receive post-receive install'

# Made from the commands by: python -m tests.test_completion
set -g __git_deployments_keys description enforce_parameter_schema entrypoint job_variables labels parameter_openapi_schema parameters pull_steps tags work_pool_name work_queue_id work_queue_name concurrency_limit concurrency_options disabled is_schedule_active paused schedules
set -g __git_deployments_valued --allow-secret --expect-live --export --file --format --key --limit --message --output --param --paths --port --python --remote --runtime-env --unset --version --version-type -f -m -o -p
complete -c git-deployments -n '__git_deployments_is none' -a 'deploy update rollback promote delete fetch pull push list versions show live log diff status checkout run apply capture export fsck web hook'
__git_deployments_option file 1 'A manifest; - is standard input.' deploy
__git_deployments_option all 0 'All deployments of the manifest.' deploy
__git_deployments_option version 1 'Human name of the version.' deploy
__git_deployments_option version-type 1 'Where version_info comes from (vcs:github … prefect:simple).' deploy
__git_deployments_option no-live 0 'Make the version, but leave live where it is.' deploy update
__git_deployments_option if-changed 0 'Make nothing where nothing changed since the latest version.' deploy
__git_deployments_option paths 1 'With --if-changed: only this code counts.' deploy
__git_deployments_option runtime-env 1 'Leave {{ $VAR }} in pull steps to the run.' deploy
__git_deployments_option allow-secret 1 'Store what looks like a secret at this key.' deploy update capture
__git_deployments_option expect-live 1 'Write only if this version is live (none: nothing is); else exit 5.' deploy update rollback promote
__git_deployments_option push 0 'Publish it, or do not write it (deployments.push).' deploy update rollback promote delete capture
__git_deployments_option no-push 0 'Publish it, or do not write it (deployments.push).' deploy update rollback promote delete capture
__git_deployments_option remote 1 'The remote to publish to, and to ask first.' deploy update rollback promote delete capture
__git_deployments_option offline 0 'Ask no remote, even if nothing is known here yet.' deploy update rollback promote delete capture
__git_deployments_option json 0 'Print JSON.' deploy update rollback promote delete fetch pull push list versions show live log diff status checkout apply capture fsck
__git_deployments_option message 1 'Why; kept in the log.' deploy update rollback promote delete capture
__git_deployments_option dry-run 0 'Show which refs would move; write nothing.' deploy update rollback promote delete capture
__git_deployments_option quiet 0 'Say nothing but warnings and errors.' deploy update rollback promote delete fetch pull push checkout apply capture
__git_deployments_option unset 1 'Put a key back to its default, or take it out of a mapping.' update
__git_deployments_option version 1 'Human name of the new version.' update
__git_deployments_option hold 0 'Later deploys and updates do not go live until promote.' rollback
__git_deployments_option yes 0 'Do not ask.' delete
__git_deployments_option purge 0 'Remove the log too: nothing is left.' delete
__git_deployments_option repair 0 'Look for damage in all that is here, not in the newest alone.' pull
__git_deployments_option format 1 'Print a line for each, %(field) filled in; fields as in --json.' list versions show live log diff status fsck
__git_deployments_option limit 1 'Only the newest N.' versions log
__git_deployments_option key 1 'Print one value: a property, a setting or a field of --json; dots reach in.' show
__git_deployments_option batch 0 'Answer each NAME, or NAME, tab, VERSION, of standard input with a line of JSON.' show
__git_deployments_option oid 0 'Print the version\'s commit id instead.' live
__git_deployments_option source 0 'Print the commit id of its code instead.' live
__git_deployments_option exit-code 0 'Exit 1 if they differ.' diff
__git_deployments_option code 0 'Show git\'s diff of the two source commits instead.' diff
__git_deployments_option server 0 'Show how the Prefect server differs from the live version instead.' diff
__git_deployments_option remote 1 'Compare with what was last seen there (default: the default remote).' status
__git_deployments_option server 0 'Compare with the Prefect server too.' status
__git_deployments_option param 1 'A parameter of this run; VALUE is YAML.' run
__git_deployments_option python 1 'The Python to run in (default: the virtual environment\'s, or PATH\'s).' run
__git_deployments_option print 0 'Print the command that runs an image-based version instead.' run
__git_deployments_option quiet 0 'Do not say what is run, nor what pull steps print.' run
__git_deployments_option all 0 'All deployments that have a live version.' apply
__git_deployments_option settings 0 'Send schedules, paused and limits too.' apply
__git_deployments_option create 0 'Create what the server does not have.' apply
__git_deployments_option dry-run 0 'Show what would change; change nothing.' apply
__git_deployments_option all 0 'All deployments of the server.' capture
__git_deployments_option output 1 'Write to FILE instead of standard output.' export
__git_deployments_option repair 0 'Restore what can be derived; record unrecorded moves; remove old locks.' fsck
__git_deployments_option signatures 0 'Every event must be signed, and by who may do it.' fsck
__git_deployments_option port 1 'Listen there (default: a free port).' web
__git_deployments_option read-only 0 'Offer no move.' web
__git_deployments_option no-browser 0 'Only print the address.' web
__git_deployments_option export 1 'Write the pages to files in DIR instead, read-only.' web
__git_deployments_option remove 0 'With install: take the hooks out again.' hook
# End
