#!/usr/bin/env bash
# One audit for a GitHub workflow: annotations in the log, a job summary, SARIF, and on request HTML.
# Leaves the exit code and the files' paths as outputs; the workflow ends with that code after the upload.
set -euo pipefail

folder=$(mktemp -d "${RUNNER_TEMP:?}/weightaudit-XXXXXX")
sarif=$folder/findings.sarif
summary=$folder/summary.md
report=$folder/report.html

options=(--no-progress -f github -f "sarif=$sarif" -f "markdown=$summary")
[[ ${WEIGHTAUDIT_HTML:-false} != true ]] || options+=(-f "html=$report")
[[ -z ${WEIGHTAUDIT_POLICY:-} ]] || options+=("--policy=$WEIGHTAUDIT_POLICY")
[[ -z ${WEIGHTAUDIT_BASELINE:-} ]] || options+=("--baseline=$WEIGHTAUDIT_BASELINE")
[[ -z ${WEIGHTAUDIT_CATEGORY:-} ]] || options+=("--sarif-category=$WEIGHTAUDIT_CATEGORY")
[[ -z ${WEIGHTAUDIT_FAIL_ON:-} ]] || options+=("--fail-on=$WEIGHTAUDIT_FAIL_ON")

paths=()
while read -r line; do # without the blanks around it, as GitHub's own actions read lists
  [[ -z $line ]] || paths+=("$line")
done < <(tr -d '\r' <<<"${WEIGHTAUDIT_PATHS:-}")
if ((${#paths[@]} == 0)); then
  echo "::error title=weightaudit::The input paths is empty; name models, directories or globs."
  echo "exit-code=2" >>"${GITHUB_OUTPUT:?}"
  exit 0
fi

code=0
weightaudit check "${options[@]}" -- "${paths[@]}" || code=$?
# This step stays green, so that what it wrote is uploaded: an error without a report needs a word of its own.
[[ -s $sarif ]] || echo "::error title=weightaudit::No report was written (exit code $code); the log of this step says why."

{
  echo "exit-code=$code"
  [[ ! -s $sarif ]] || echo "sarif=$sarif"
  [[ ! -s $report ]] || echo "report=$report"
} >>"${GITHUB_OUTPUT:?}"
[[ ! -s $summary ]] || cat "$summary" >>"${GITHUB_STEP_SUMMARY:?}"
