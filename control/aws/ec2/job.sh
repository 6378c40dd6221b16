set -u -o pipefail
LOG=$WORK/train.log      # what the container says
TOOLS=$WORK/tools.log    # what docker, aws and tar say
STATE=InProgress AT=Starting REASON='' CODE=null TRAINING=0 WATCHER=''

note() { printf 'kennel: %s\n' "$*" >>"$LOG"; }

# The last thing that a tool said; its words are what a person needs.
last_words() { grep -v '^[[:space:]]*$' "$TOOLS" | tail -n 1 | cut -c 1-600; }

fail() {
  STATE=Failed
  REASON=$*
  exit 1
}

# A command that talks to a network: three times.
tries() {
  local number
  for number in 1 2 3; do
    "$@" >>"$TOOLS" 2>&1 && return 0
    [ "$number" = 3 ] || sleep "$PAUSE"
  done
  return 1
}

as_json() {
  local text
  text=$(printf '%s' "$1" | tr '\n\r\t' '   ' | tr -d '\000-\037\177')
  text=${text//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

put() { "${COPY[@]}" "$1" "$OUTPUT/$2"; }

# status.json: for those who look from outside.
tell() {
  AT=$1
  printf '{"job": %s, "status": "%s", "at": "%s", "exit_code": %s, "failure_reason": %s, "seconds": %d, "training_seconds": %d}\n' \
    "$(as_json "$JOB")" "$STATE" "$AT" "$CODE" "$(as_json "$REASON")" "$SECONDS" "$TRAINING" \
    >"$WORK/status.json"
  tries put "$WORK/status.json" status.json
}

# Its upload of the log must not come after ours.
end_watch() {
  [ -n "$WATCHER" ] || return 0
  kill "$WATCHER" 2>/dev/null
  wait "$WATCHER" 2>/dev/null
  WATCHER=''
}

# The only way out, whatever happened: the last words, then the end of this instance.
finish() {
  trap - EXIT
  trap '' TERM INT HUP
  end_watch
  if [ "$STATE" = InProgress ]; then
    STATE=Failed
    REASON="the instance was told to end while it was ${AT,,}"
  fi
  if [ "$STATE" = Failed ]; then
    tail -n 20 "$TOOLS" >>"$LOG"
    note "failed: $REASON"
  fi
  tries put "$LOG" train.log
  tell Ended
  shutdown -P now
}

login() {
  aws ecr get-login-password --region "$IMAGE_REGION" |
    docker login --username AWS --password-stdin "$REGISTRY"
}

# One channel: a folder in S3, or one object.
fetch() {
  local folder=$ML/input/data/$1
  mkdir -p "$folder"
  tries aws s3 cp --recursive --only-show-errors "$2" "$folder" ||
    fail "channel $1: $2 cannot be fetched: $(last_words)"
  [ -z "$(ls -A "$folder")" ] || return 0
  tries aws s3 cp --only-show-errors "$2" "$folder/" || fail "channel $1: nothing lies at $2"
}

prepare() {
  local number
  command -v aws >>"$TOOLS" || dnf install -y awscli-2 >>"$TOOLS" 2>&1 ||
    fail "there is no AWS CLI, and it cannot be installed: $(last_words)"
  tell Starting
  systemctl start docker >>"$TOOLS" 2>&1
  tries docker info || fail "Docker does not answer: $(last_words)"
  tell Downloading
  note "image $IMAGE"
  [ -z "$REGISTRY" ] || tries login || fail "$REGISTRY lets nobody in: $(last_words)"
  tries docker pull --quiet "$IMAGE" || fail "$IMAGE cannot be pulled: $(last_words)"
  for ((number = 0; number < ${#CHANNELS[@]}; number += 2)); do
    note "channel ${CHANNELS[number]} from ${CHANNELS[number + 1]}"
    fetch "${CHANNELS[number]}" "${CHANNELS[number + 1]}"
  done
  for ((number = 0; number < ${#CONFIG[@]}; number += 2)); do
    printf '%s' "${CONFIG[number + 1]}" >"$ML/input/config/${CONFIG[number]}"
  done
}

# What EC2 tells its instances; nothing where it does not answer.
metadata() {
  local token
  token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/api/token") &&
    curl -sf -m 2 -H "X-aws-ec2-metadata-token: $token" "$IMDS/meta-data/$1"
}

# AWS takes a spot instance back two minutes after it has said so.
is_taken_back() { [ "$SPOT" = yes ] && metadata spot/instance-action >>"$TOOLS"; }

# Beside the container: its log goes to S3, and whoever may stop it is listened to.
watch() {
  local over='' why='' began=$SECONDS
  trap 'over=yes' TERM
  while [ -z "$over" ]; do
    sleep "$POLL" &
    wait $!
    [ -z "$over" ] || break
    put "$LOG" train.log >>"$TOOLS" 2>&1
    if [ $((SECONDS - began)) -ge "$MAX_RUN" ]; then
      why="stopped after $((SECONDS - began)) s: max_run_seconds is over; what was saved is kept"
    elif aws s3 ls "$OUTPUT/stop" >>"$TOOLS" 2>&1; then
      why="stopped by a person after $((SECONDS - began)) s; what was saved is kept"
    elif is_taken_back; then
      why='AWS took the spot instance back; what was saved is kept'
    fi
    if [ -n "$why" ]; then
      printf '%s' "$why" >"$WORK/stopped"
      docker stop -t "$GRACE" kennel >>"$TOOLS" 2>&1
      return
    fi
  done
}

train() {
  local child began=$SECONDS
  tell Training
  docker run "${RUN[@]}" "$IMAGE" train >>"$LOG" 2>&1 &
  child=$!
  watch &
  WATCHER=$!
  wait "$child"
  CODE=$?
  TRAINING=$((SECONDS - began))
  end_watch
}

why_failed() {
  local failure=$ML/output/failure
  if [ -s "$failure" ]; then
    head -c 1024 "$failure"
  elif [ "$CODE" = 125 ]; then
    tail -n 1 "$LOG"
  elif [ "$CODE" = 137 ]; then
    printf 'train was ended by SIGKILL: often the instance ran out of memory; see the log'
  else
    printf 'train exited with %s and left no reason: see the log' "$CODE"
  fi
}

# What a folder holds, as SageMaker packs it.
send() {
  local archive=$WORK/$2
  [ -n "$(ls -A "$1" 2>/dev/null)" ] || return 0
  tar -C "$1" -czf "$archive" . >>"$TOOLS" 2>&1 || fail "$2 cannot be packed: $(last_words)"
  tries put "$archive" "output/$2" || fail "$2 cannot be uploaded: $(last_words)"
  rm -f "$archive"
}

trap finish EXIT
trap 'exit 143' TERM INT HUP
mkdir -p "$WORK" "$ML"/{input/config,input/data,model,output/data,checkpoints}
: >"$LOG"
: >"$TOOLS"
AWS_REGION=$(metadata placement/region)
export AWS_REGION=${AWS_REGION:-$IMAGE_REGION}
prepare
train
tell Uploading
if [ -s "$WORK/stopped" ]; then
  REASON=$(cat "$WORK/stopped")
elif [ "$CODE" != 0 ]; then
  REASON=$(why_failed)
  send "$ML/output/data" output.tar.gz
  fail "$REASON"
fi
send "$ML/output/data" output.tar.gz
send "$ML/model" model.tar.gz
STATE=Completed
[ ! -s "$WORK/stopped" ] || STATE=Stopped
