#!/usr/bin/env bash
# Build the images for SageMaker and push them to Amazon ECR.
#
# Usage: ./build_and_push.sh [train|serve|serve-cpu|all] [option ...]
#
#   --region REGION      where to push; default: AWS_REGION, AWS_DEFAULT_REGION, the profile's region
#   --repository NAME    ECR repository; default: kennel-TARGET. With `all`: NAME-train, NAME-serve, ...
#   --tag TAG            instead of the git commit as the tag that never moves
#   --platform PLATFORM  linux/amd64, which is what SageMaker runs; anything else is refused
#   --show               print the commands and stop; changes nothing
#
# Each image gets two tags: the commit and `latest`. A repository that does not exist is created: scan
# on push, tags that cannot be overwritten (except `latest`), untagged images expire. Needs docker,
# git and the AWS CLI (chosen over boto3 because whoever has an AWS account set up on a machine has
# it, and it does the login); the account is the one that the credentials belong to. BASE_IMAGE=...
# in the environment builds from another base. stdout: one line per image, its URI by digest.
# Exit codes: 0 pushed, 1 something failed, 2 asked for something impossible.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly sagemaker_platform=linux/amd64
# Tagged images stay: an endpoint may run any of them.
lifecycle='{"rules": [{"rulePriority": 1, "description": "untagged images expire", "selection":
 {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 30},
 "action": {"type": "expire"}}]}'
readonly lifecycle=${lifecycle//$'\n'/}
# Attestations would turn the image into an index, which SageMaker's CreateModel refuses.
export BUILDX_NO_DEFAULT_ATTESTATIONS=1 AWS_PAGER=''

note() { echo "build_and_push: $*" >&2; }
fail() {
  note "$*"
  exit 1
}
refuse() {
  note "$*"
  exit 2
}
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

target='' region='' repository='' tag='' show=''
parse_arguments() {
  while (($#)); do
    case $1 in
      train | serve | serve-cpu | all)
        [[ -z $target ]] || refuse "two targets, $target and $1: give one, or all"
        target=$1
        ;;
      --region | --repository | --tag | --platform)
        [[ -n ${2:-} && $2 != --* ]] || refuse "$1 needs a value"
        case $1 in
          --region) region=$2 ;;
          --repository) repository=$2 ;;
          --tag) tag=$2 ;;
          --platform) [[ $2 == "$sagemaker_platform" ]] ||
            refuse "--platform $2: SageMaker runs $sagemaker_platform; leave the option out" ;;
        esac
        shift
        ;;
      --show) show=1 ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) refuse "unknown argument $1: expected train, serve, serve-cpu, all or an option; see --help" ;;
    esac
    shift
  done
  target=${target:-all}
  case $target in
    all) targets=(train serve serve-cpu) ;;
    *) targets=("$target") ;;
  esac
  [[ -z $repository || $repository =~ ^[a-z0-9]+([._/-][a-z0-9]+)*$ ]] ||
    refuse "--repository $repository: lower-case letters and digits, joined by . _ - or /"
  [[ -z $tag || $tag =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] ||
    refuse "--tag $tag: up to 128 letters, digits, . _ and -"
  [[ $tag != latest ]] || refuse "--tag latest: latest moves with every push by itself; give another"
}

repository_of() { # repository_of TARGET
  case $target in
    all) echo "${repository:-kennel}-$1" ;;
    *) echo "${repository:-kennel-$1}" ;;
  esac
}

# The commit; with changes that would go into an image, also the time, so that no tag lies.
choose_tag() {
  [[ -z $tag ]] || return 0
  tag=$(git rev-parse --short=12 HEAD 2>/dev/null) || refuse "this is no git clone: give --tag"
  local changed
  changed=$(git status --porcelain -- docker .dockerignore contract classifier train serve)
  if [[ -n $changed ]]; then
    tag=$tag-dirty-$(date -u +%Y%m%dT%H%M%S)
    note "uncommitted changes: tagging $tag"
  fi
}

choose_region() {
  region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION:-}}}
  if [[ -z $region ]] && command -v aws >/dev/null; then
    region=$(aws configure get region 2>/dev/null) || true
  fi
  [[ -n $region ]] || refuse "no region: give --region or set AWS_REGION"
  [[ $region =~ ^[a-z]{2,}(-[a-z]+)+-[0-9]+$ ]] ||
    refuse "--region $region is no AWS region; expected a name like eu-west-1"
}

# Everything that can be wrong before the first minute is spent.
check_tools() {
  local answer
  command -v docker >/dev/null || fail "docker is missing: install Docker"
  answer=$(docker version --format '{{.Server.Version}}' 2>&1) ||
    fail "the Docker engine does not answer: start it (${answer##*$'\n'})"
  command -v aws >/dev/null || fail "the AWS CLI is missing: install it (the command aws)"
}

# The last line of what the AWS CLI said, without its blank ones.
aws_said() { sed '/^[[:space:]]*$/d' <<<"$1" | tail -n 1; }

find_account() {
  local answer
  answer=$(aws sts get-caller-identity --region "$region" --query Account --output text 2>&1) ||
    fail "AWS does not know you in region $region: $(aws_said "$answer")"
  account=$answer
  [[ $account =~ ^[0-9]{12}$ ]] || fail "STS answered without an account: $(aws_said "$answer")"
  registry=$account.dkr.ecr.$region.$(domain)
}

domain() {
  case $region in
    cn-*) echo amazonaws.com.cn ;;
    *) echo amazonaws.com ;;
  esac
}

# Sets `missing`: the repositories to create. Asking also proves that ECR is there and open to us.
find_repositories() {
  local each name answer
  missing=()
  for each in "${targets[@]}"; do
    name=$(repository_of "$each")
    if ! answer=$(aws ecr describe-repositories --region "$region" --repository-names "$name" 2>&1); then
      [[ $answer == *RepositoryNotFoundException* ]] ||
        fail "ECR in region $region: $(aws_said "$answer")"
      missing+=("$name")
    fi
  done
}

run() { # run COMMAND...: or print it, with --show
  if [[ -n $show ]]; then
    local word line=''
    for word in "$@"; do
      [[ $word =~ ^[A-Za-z0-9_./:=@-]+$ ]] || word="'$word'"
      line+="$word "
    done
    echo "${line% }"
  else
    "$@"
  fi
}

build() { # build TARGET
  local name arguments=()
  name=$registry/$(repository_of "$1")
  # An engine that keeps images in containerd would make an OCI manifest; SageMaker wants Docker's.
  if [[ -z $show ]] && docker info --format '{{json .DriverStatus}}' | grep -q containerd.snapshotter; then
    arguments+=(--output "type=image,name=$name:$tag,oci-mediatypes=false,unpack=true")
  fi
  if [[ -n ${BASE_IMAGE:-} ]]; then arguments+=(--build-arg "BASE_IMAGE=$BASE_IMAGE"); fi
  run docker build --file docker/Dockerfile --target "$1" --platform "$sagemaker_platform" \
    ${arguments[@]+"${arguments[@]}"} --build-arg "REVISION=$tag" --tag "$name:$tag" . \
    >&"$out" || fail "building $1 failed; nothing was pushed"
  if [[ -z $show && $(docker image inspect "$name:$tag") == *application/vnd.oci.image* ]]; then
    fail "the engine made an OCI image, which SageMaker refuses; switch its containerd image store off"
  fi
}

create_repository() { # create_repository NAME
  local immutable=(--image-tag-mutability IMMUTABLE_WITH_EXCLUSION
    --image-tag-mutability-exclusion-filters 'filterType=WILDCARD,filter=latest')
  # Old CLIs do not know the exclusion, and fully immutable tags would pin `latest` for ever. Not
  # `| grep -q`: it ends at the first match, and the CLI, still writing, would count as failed.
  local known=""
  if [[ -z $show ]]; then known=$(aws ecr create-repository --generate-cli-skeleton) || true; fi
  if [[ -z $show && $known != *ExclusionFilters* ]]; then
    note "this AWS CLI is too old to protect the tags of $1; upgrade it to have that"
    immutable=(--image-tag-mutability MUTABLE)
  fi
  run aws ecr create-repository --region "$region" --repository-name "$1" \
    --image-scanning-configuration scanOnPush=true "${immutable[@]}" >&"$out" ||
    fail "the repository $1 could not be created"
  run aws ecr put-lifecycle-policy --region "$region" --repository-name "$1" \
    --lifecycle-policy-text "$lifecycle" >&"$out" ||
    fail "the repository $1 was created, but its lifecycle policy was not set"
}

login() {
  if [[ -n $show ]]; then
    echo "aws ecr get-login-password --region $region |" \
      "docker login --username AWS --password-stdin $registry"
    return
  fi
  local answer
  answer=$(aws ecr get-login-password --region "$region" |
    docker login --username AWS --password-stdin "$registry" 2>&1) ||
    fail "$registry does not let us in: $(aws_said "$answer")"
}

# A commit that was pushed before is not pushed again: its tag cannot be overwritten.
is_pushed() { # is_pushed NAME
  [[ -z $show ]] && aws ecr describe-images --region "$region" --repository-name "$1" \
    --image-ids "imageTag=$tag" >/dev/null 2>&1
}

move_latest() { # move_latest NAME: of a repository that has our tag already
  local manifest said
  manifest=$(aws ecr batch-get-image --region "$region" --repository-name "$1" \
    --image-ids "imageTag=$tag" --query 'images[0].imageManifest' --output text) ||
    fail "the manifest of $1:$tag could not be read"
  said=$(aws ecr put-image --region "$region" --repository-name "$1" --image-tag latest \
    --image-manifest "$manifest" 2>&1) || [[ $said == *ImageAlreadyExistsException* ]] ||
    fail "latest of $1 could not be moved: $(aws_said "$said")"
}

print_uri() { # print_uri NAME
  local digest
  digest=$(aws ecr describe-images --region "$region" --repository-name "$1" --image-ids \
    "imageTag=$tag" --query 'imageDetails[0].imageDigest' --output text 2>/dev/null) ||
    digest=$(docker image inspect --format '{{join .RepoDigests "\n"}}' "$registry/$1:$tag" |
      sed -n "s|^$registry/$1@||p" | head -n 1)
  echo "$registry/$1@$digest"
}

main() {
  local each name new=() old=()
  parse_arguments "$@"
  choose_region
  choose_tag
  if [[ -n $show ]]; then
    out=1 missing=()
    account=$(aws sts get-caller-identity --region "$region" --query Account --output text 2>/dev/null) ||
      account=ACCOUNT # no credentials at hand; showing needs none
    registry=$account.dkr.ecr.$region.$(domain)
    for each in "${targets[@]}"; do missing+=("$(repository_of "$each")"); done
    echo "# a repository is created only when it does not exist"
  else
    out=2
    check_tools
    find_account
    find_repositories
  fi
  for each in "${targets[@]}"; do
    name=$(repository_of "$each")
    if is_pushed "$name"; then
      note "$name:$tag is in ECR already; it is not built again"
      old+=("$name")
    else
      build "$each"
      new+=("$name")
    fi
  done
  for name in ${missing[@]+"${missing[@]}"}; do create_repository "$name"; done
  if ((${#new[@]})); then login; fi
  for name in ${new[@]+"${new[@]}"}; do
    run docker push "$registry/$name:$tag" >&"$out" || fail "pushing $name:$tag failed"
  done
  # Only now, when all new images are there, does `latest` move.
  for name in ${new[@]+"${new[@]}"}; do
    run docker tag "$registry/$name:$tag" "$registry/$name:latest"
    run docker push "$registry/$name:latest" >&"$out" || fail "pushing $name:latest failed"
  done
  [[ -z $show ]] || return 0
  for name in ${old[@]+"${old[@]}"}; do move_latest "$name"; done
  for each in "${targets[@]}"; do print_uri "$(repository_of "$each")"; done
}

main "$@"
