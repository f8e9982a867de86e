#!/bin/sh
# The story of Prefect's page "How to version deployments" in a scratch repository: two versions, a rollback, a promotion.
# Run it with `make demo`; it needs git and git-deployments on PATH, and no network.
set -eu

# Nothing of the machine takes part: no git configuration, no CI variable, no pager.
if [ -z "${DEMO_SCRATCH:-}" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 130' INT TERM HUP
    env -i PATH="$PATH" DEMO_SCRATCH="$scratch" HOME="$scratch" LC_ALL=C.UTF-8 GIT_PAGER=cat NO_COLOR=1 \
        GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 sh "$0"
    exit
fi

say() {
    printf '\n# %s\n' "$1"
}

# Print a command as it would be typed, then run it; its failure ends the demo.
run() {
    printf '$ %s\n' "$1"
    eval "$1"
}

mkdir "$DEMO_SCRATCH/project"
cd "$DEMO_SCRATCH/project"

say 'A project with one flow, and the deployment of it in prefect.yaml'
run 'git init -q'
git config user.name 'Ada Lovelace'
git config user.email ada@example.com
cat >example.py <<'END'
from prefect import flow


@flow
def my_flow(name: str = "world", times: int = 1) -> None:
    for _ in range(times):
        print(f"Hello, {name}")
END
cat >prefect.yaml <<'END'
pull:
- prefect.deployments.steps.git_clone:
    repository: https://github.com/my-org/my-repo.git
    commit_sha: "{{ $GITHUB_SHA }}"

deployments:
- name: my-deployment
  version: 0.0.1
  entrypoint: example.py:my_flow
  work_pool:
    name: my-work-pool
END
run 'cat prefect.yaml'
run 'git add . && git commit -q -m "Greet the world"'

say 'The first version: this commit, this configuration'
run 'GITHUB_SHA=$(git rev-parse HEAD) git deployments deploy'

say 'Code and configuration change; the second version goes live'
sed 's/Hello/Good morning/' example.py >changed && mv changed example.py
sed 's/version: 0.0.1/version: 0.0.2/' prefect.yaml >changed && mv changed prefect.yaml
printf '  parameters: {name: team}\n' >>prefect.yaml
run 'git diff -U0'
run 'git commit -q -a -m "Greet the team in the morning"'
run 'GITHUB_SHA=$(git rev-parse HEAD) git deployments deploy'
run 'git deployments versions my-flow/my-deployment'
run 'git deployments diff my-flow/my-deployment'

say 'The second version is bad: back to the first, code and configuration alike'
run 'git deployments rollback my-flow/my-deployment -m "greets at the wrong time of day"'
run 'git deployments live my-flow/my-deployment'

say 'It is all in the repository, for plain git to read'
run 'git for-each-ref refs/deployments'
run 'git rev-parse refs/deployments/my-flow/my-deployment/live:source'
run 'git show refs/deployments/my-flow/my-deployment/live:deployment.json'

say 'Promote the latest version again; the record knows who did what, when and why'
run 'git deployments promote my-flow/my-deployment -m "it was morning after all"'
run 'git deployments log my-flow/my-deployment'
