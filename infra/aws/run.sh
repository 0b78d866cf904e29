#!/bin/sh
# Runs one command of memoline in the cloud, as a task beside the others, and shows what it said:
#   infra/aws/run.sh doctor
#   STACK=memoline-test infra/aws/run.sh jobs --state HELD
# Needs the AWS CLI (version 2) and python3. Ends with the command's own exit status.
set -eu
stack="${STACK:-memoline}"

output() {
  aws cloudformation describe-stacks --stack-name "$stack" --output text \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue"
}

cluster=$(output ClusterName)
network="awsvpcConfiguration={subnets=[$(output PrivateSubnets)],securityGroups=[$(output ProcessGroupId)],assignPublicIp=DISABLED}"
words=$(python3 -c 'import json, sys
print(json.dumps({"containerOverrides": [{"name": "memoline", "command": sys.argv[1:]}]}))' "$@")
task=$(aws ecs run-task --cluster "$cluster" --task-definition "$(output OperatorTaskArn)" --launch-type FARGATE \
  --network-configuration "$network" --overrides "$words" --query 'tasks[0].taskArn' --output text)
aws ecs wait tasks-stopped --cluster "$cluster" --tasks "$task"
aws logs tail "$(output LogGroupName)" --log-stream-names "operator/memoline/${task##*/}" --since 1h --format short
exit "$(aws ecs describe-tasks --cluster "$cluster" --tasks "$task" --query 'tasks[0].containers[0].exitCode' --output text)"
