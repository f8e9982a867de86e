# Completion of `git deployments` for bash. git's own completion asks _git_deployments, and bash-completion
# loads this file for it, or: . git-deployments.bash
#
# Plain git answers; no Python is started. Names are offered as they stand in refs, percent-encoded where
# that is needed, which the commands take as well, and quoted for the shell.

# Made from the commands by: python -m tests.test_completion
__git_deployments_commands='deploy update rollback promote delete fetch pull push list versions show live log diff status checkout run apply capture export fsck web hook'
__git_deployments_keys='description enforce_parameter_schema entrypoint job_variables labels parameter_openapi_schema parameters pull_steps tags work_pool_name work_queue_id work_queue_name concurrency_limit concurrency_options disabled is_schedule_active paused schedules'
__git_deployments_valued='--allow-secret --expect-live --export --file --format --key --limit --message --output --param --paths --port --python --remote --runtime-env --unset --version --version-type -f -m -o -p'
__git_deployments_options () {
	case $1 in
	deploy) echo '--file= --all --version= --version-type= --no-live --if-changed --paths= --runtime-env= --allow-secret= --expect-live= --push --no-push --remote= --offline --json --message= --dry-run --quiet' ;;
	update) echo '--unset= --version= --no-live --allow-secret= --expect-live= --push --no-push --remote= --offline --json --message= --dry-run --quiet' ;;
	rollback) echo '--hold --expect-live= --push --no-push --remote= --offline --json --message= --dry-run --quiet' ;;
	promote) echo '--expect-live= --push --no-push --remote= --offline --json --message= --dry-run --quiet' ;;
	delete) echo '--yes --purge --push --no-push --remote= --offline --json --message= --dry-run --quiet' ;;
	fetch) echo '--json --quiet' ;;
	pull) echo '--repair --json --quiet' ;;
	push) echo '--json --quiet' ;;
	list) echo '--json --format=' ;;
	versions) echo '--limit= --json --format=' ;;
	show) echo '--key= --batch --json --format=' ;;
	live) echo '--oid --source --json --format=' ;;
	log) echo '--limit= --json --format=' ;;
	diff) echo '--exit-code --code --server --json --format=' ;;
	status) echo '--remote= --server --json --format=' ;;
	checkout) echo '--quiet --json' ;;
	run) echo '--param= --python= --print --quiet' ;;
	apply) echo '--all --settings --create --dry-run --quiet --json' ;;
	capture) echo '--all --allow-secret= --push --no-push --remote= --offline --json --message= --dry-run --quiet' ;;
	export) echo '--output=' ;;
	fsck) echo '--repair --signatures --json --format=' ;;
	web) echo '--port= --read-only --no-browser --export=' ;;
	hook) echo '--remove' ;;
	esac
}
# End

__git_deployments_git () {
	if declare -F __git >/dev/null; then __git "$@"; else git "$@" 2>/dev/null; fi
}

# Offer the words of an array that begin with what was typed. They are data: nothing of them is ever expanded.
__git_deployments_offer () {
	local typed=${cur//\\/} breaks= before= word
	# These divide words for readline, which then replaces only what stands behind the last of them; in quotes, none do.
	if test -z "${quote-}"; then
		[[ $COMP_WORDBREAKS == *:* ]] && breaks=:
		[[ $COMP_WORDBREAKS == *=* ]] && breaks+==
	fi
	[[ -n $breaks && $cur == *[$breaks]* ]] && before=${cur%"${cur##*[$breaks]}"}
	for word; do
		if [[ $word == "$typed"* ]]; then
			case ${quote-}$word in
			\'*) word=${word//\'/\'\\\'\'} ;;
			\"*) word=${word//\\/\\\\} word=${word//\"/\\\"} word=${word//\$/\\\$} word=${word//\`/\\\`} ;;
			*[!A-Za-z0-9_./%@+,=-]*) printf -v word %q "$word" ;;
			esac
			COMPREPLY+=("${word#"$before"}")
		fi
	done
}

__git_deployments_names () {
	local typed=${cur//\\/} IFS=$'\n' names below
	case $typed in
	*[*?[]*) return ;;
	*/*) below= ;;
	*) below=1 ;;
	esac
	names=($(__git_deployments_git for-each-ref --format='%(refname:lstrip=2)' \
		"refs/deployments/$typed*/live" ${below:+"refs/deployments/$typed*/*/live"}))
	names=("${names[@]%/live}")
	if test -z "${names[*]}" && test -n "$below"; then
		# The half of a name is enough where it is unique.
		names=($(__git_deployments_git for-each-ref --format='%(refname:lstrip=3)' "refs/deployments/*/$typed*/live"))
		names=("${names[@]%/live}")
	fi
	case "${names[*]}" in
	*[!A-Za-z0-9_./%@+,$'\n'-]*) __git_deployments_offer "${names[@]}" ;;
	?*) COMPREPLY+=("${names[@]}") ;;
	esac
}

__git_deployments_versions () {
	local name=$1 IFS=$'\n' line number subject found=()
	case $name in
	\'*) name=${name#?} name=${name%?} name=${name//\'\\\'\'/\'} ;;
	\"*) name=${name#?} name=${name%?} name=${name//\\/} ;;
	*) name=${name//\\/} ;;
	esac
	case $name in
	*[*?[]*) return ;;
	*/*) found=("refs/deployments/$name/versions/*") ;;
	*) found=("refs/deployments/$name/versions/*" "refs/deployments/*/$name/versions/*") ;;
	esac
	found=($(__git_deployments_git for-each-ref --sort=-version:refname \
		--format='%(refname:lstrip=-1) %(contents:subject)' "${found[@]}"))
	local versions=() labels=()
	for line in "${found[@]}"; do
		number=${line%% *}
		versions+=("v$number")
		subject=${line#* v"$number": }
		test "$subject" = "$line" || labels+=("$subject")
	done
	compopt -o nosort 2>/dev/null
	__git_deployments_offer live latest previous "${versions[@]}" "${labels[@]}"
}

__git_deployments_remotes () {
	local IFS=$'\n'
	__git_deployments_offer $(__git_deployments_git remote)
}

_git_deployments () {
	local command= name= place=0 at=1 word before= quote=
	COMPREPLY=()
	case $cur in
	[\"\']*) quote=${cur:0:1} cur=${cur:1} ;;
	esac
	while test $at -lt $cword && test "${words[at]}" != deployments && [[ ${words[0]} != *git-deployments ]]; do
		at=$((at + 1))
	done
	[[ ${words[0]} == *git-deployments ]] || at=$((at + 1))
	while test $at -lt $cword; do
		word=${words[at]}
		case " $__git_deployments_valued " in
		*" ${before:--} "*) before= ;;
		*)
			before=$word
			case $word in
			-*) ;;
			*)
				if test -z "$command"; then
					command=$word
				else
					place=$((place + 1))
					test -n "$name" || name=$word
				fi
				;;
			esac
			;;
		esac
		at=$((at + 1))
	done
	if [[ $cur == --*=* ]]; then
		before=${cur%%=*} cur=${cur#*=}
	fi
	case $before in
	-f | --file | -o | --output | --paths | --python | --export) compopt -o default 2>/dev/null; return ;;
	--expect-live) __git_deployments_versions "$name"; __git_deployments_offer none; return ;;
	--remote) __git_deployments_remotes; return ;;
	--version-type) __git_deployments_offer vcs:github vcs:gitlab vcs:bitbucket vcs:azuredevops vcs:git prefect:simple; return ;;
	-?*) case " $__git_deployments_valued " in *" $before "*) return ;; esac ;;
	esac
	case $command,$cur in
	,-*) __git_deployments_offer --help --version ;;
	,*) __git_deployments_offer $__git_deployments_commands ;;
	*,-*)
		__git_deployments_offer $(__git_deployments_options "$command") --help
		[[ ${COMPREPLY[*]-} == *= ]] && compopt -o nospace 2>/dev/null
		;;
	hook,*) test $place -gt 0 || __git_deployments_offer pre-receive post-receive install ;;
	fetch,* | pull,* | push,*) if test $place -gt 0; then __git_deployments_names; else __git_deployments_remotes; fi ;;
	deploy,* | list,* | status,* | apply,* | capture,* | export,* | fsck,*) __git_deployments_names ;;
	update,*)
		if test $place -gt 0; then
			local key
			for key in $__git_deployments_keys; do __git_deployments_offer "$key="; done
			compopt -o nospace 2>/dev/null
		else
			__git_deployments_names
		fi
		;;
	checkout,*)
		case $place in
		0) __git_deployments_names ;;
		1) compopt -o default 2>/dev/null ;;
		2) __git_deployments_versions "$name" ;;
		esac
		;;
	rollback,* | promote,* | show,* | diff,* | run,*)
		if test $place -eq 0; then
			__git_deployments_names
		elif test $place -eq 1 || test "$command,$place" = diff,2; then
			__git_deployments_versions "$name"
		fi
		;;
	web,*) ;;
	*) test $place -gt 0 || __git_deployments_names ;;
	esac
}

# The script by its own name, where git's completion is there to help.
if declare -F __git_complete >/dev/null; then
	__git_complete git-deployments _git_deployments
fi
